"""Measuring, whatever is measured: processes, rounds, clocks, tables, bars, servers. Each is here once."""
