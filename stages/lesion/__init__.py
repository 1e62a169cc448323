"""What the stages share: one module, one subject."""

import os

# torch's threads sleep while they wait for each other. Otherwise waiting keeps their cores busy,
# and where other work needs those too, a step takes many times as long. OpenMP reads it when torch
# is loaded; so this stands where every stage comes by before that.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
