"""The command line: options in, exit status out; everything else is the library's."""
