"""What the program imports in any mode, all at once; see `tests/program.py`.

Nothing is computed here, and no device is started: a process with threads must not be forked.
"""

import gc
import importlib
import pkgutil

import vfseg.commands

for module in pkgutil.iter_modules(vfseg.commands.__path__, "vfseg.commands."):
    importlib.import_module(module.name)

gc.collect()
gc.freeze()
