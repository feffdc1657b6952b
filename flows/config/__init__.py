"""What a user may write: the models of every key, and how a file becomes settings.

load.py                  a file, checked as a whole
read.py, paths.py        references to the environment and to files; where files lie
errors.py                what is wrong, in one line
settings.py, base.py     globals and inputs; what all services have
objects.py               the keys of the SQS collector's and of custom services; the catalogue has the others
file_formats.py          how custom objects are cut
types.py, patterns.py    moments, regions, regular expressions (RE2)
"""
