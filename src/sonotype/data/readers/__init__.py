"""Readers of data sets: folders, tables, ESC-50, MSoS."""
