"""What the stages share, in rooms: a room is what a stage depends on as a whole.

What libraries have to find when they are imported stands here, where every stage comes by before.
"""

import logging
import os

# torch's threads sleep while they wait for each other. Otherwise waiting keeps their cores busy,
# and where other work needs those too, a step takes many times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Without HOME, a user who has no name, as in a container, has no home; MLflow does not load then,
# and others make a folder called ~. In this one nothing can be made.
if os.path.expanduser("~") == "~":
    os.environ["HOME"] = os.devnull

# Where it cannot write to a home, it says at length that it takes a temporary folder.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
