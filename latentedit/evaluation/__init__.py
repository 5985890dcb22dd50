"""Measuring: each module returns plain data; the command line prints, draws and saves it."""
