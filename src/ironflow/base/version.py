"""The version of the program, in one place: the package, the server's answers and the CLI read it here."""

VERSION = "0.1.0"
