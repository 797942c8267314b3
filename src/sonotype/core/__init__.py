"""Errors, types, files, text and machine limits: the base that all packages import."""
