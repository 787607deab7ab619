"""What `bedeck.synth` is made of: words -> patterns -> phrases; draws -> population -> music and requests -> columns.

These modules import numpy and pyarrow; `population` and `requests` numpy only.
"""

__all__: list[str] = []
