"""In place of a package that takes seconds of processor time to import.

Each process of Ray imports jsonschema, which imports that package where it is installed, and does
without it elsewhere. A cluster starts many processes, which wait for each other for a limited time.
"""

raise ImportError("not needed by Ray")
