"""Found by every Python that a page starts while `tools/run_claims.py` runs it without oneDNN."""

import torch

torch._C._set_mkldnn_enabled(False)
