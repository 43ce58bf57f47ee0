"""The hash of a value's content: equal content gives an equal hash in every process of one version of Python.

Code counts as content: a function is its compiled code, what it closes over and the globals that it reads, a network
its classes and weights. Of other people's packages the version counts, of this package the sources.
"""

from interp.digest.walk import digest

__all__ = ["digest"]
