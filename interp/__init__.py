"""See what a convolutional network sees.

`import interp` alone imports nothing heavy: take what you need, for example
`from interp import attribution, zoo`.
"""

__version__ = "0.1.0"
