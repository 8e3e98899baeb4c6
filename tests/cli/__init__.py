"""The command line, in the process of the test and in processes of its own."""
