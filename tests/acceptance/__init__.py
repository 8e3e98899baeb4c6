"""The programs that README and pages print, and the examples of producers and receivers, run as they are printed."""
