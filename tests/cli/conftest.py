"""Shared by the tests of commands: plots that are not drawn."""

from finished_runs import no_plots  # noqa: F401 - used by every test
