"""The command line: one module for each family of commands, which parses, calls and prints, and decides nothing."""
