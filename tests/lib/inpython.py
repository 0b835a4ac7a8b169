# SPDX-License-Identifier: BSD-3-Clause
"""Python in a guest: the host's, with those of its modules, and of this directory, that are asked for.

    Guest(..., programs=[inpython.PROGRAM], plugins=inpython.PLUGINS)
    inpython.install(guest, "frontend")
    inpython.run(guest, "import frontend; ...")"""

import glob
import io
import os
import subprocess
import sys
import zipfile

PROGRAM = "/usr/bin/python3"
HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARY = "/usr/lib/python%d.%d/" % sys.version_info[:2]
PLUGINS = glob.glob(LIBRARY + "lib-dynload/mmap.*.so")


def install(guest, *modules):
    """Put the modules, and those that they import, where Python looks for them: into an archive."""
    script = "import sys; sys.path.insert(0, %r); import %s\nfor m in sys.modules.values(): print(getattr(m, '__file__', None))" % (
        HERE, ", ".join(modules))
    run = subprocess.run([PROGRAM, "-S", "-c", script], capture_output=True, text=True, check=True)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in {path for path in run.stdout.split() if path.endswith(".py")}:
            archive.write(path, path.removeprefix(LIBRARY).removeprefix(HERE))
    guest.write("/lib/python%d%d.zip" % sys.version_info[:2], data.getvalue())


def run(guest, script, timeout=60):
    return guest.check("PYTHONHOME=/usr python3 -S -", timeout, script)
