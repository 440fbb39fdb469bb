"""The first thing of the file that runs: is this host fit, and where are the unpacked files?

It is `__main__.py` of the archive and stands for itself: nothing is imported that the host's Python
does not bring. Every Python from 2.7 on can read it, so that an old one is told of in a sentence.
shiv's bootstrap goes on from here; its own unpacking, which a power cut can leave half done, is not
reached, because the files are always there before.
"""

from __future__ import print_function

import os
import stat
import sys

# Every Python has loaded these by itself; all others are imported after `keep_own_paths`.

NAME = "angos-trio"
COMPLETE = "complete"
"""A file that is put beside the unpacked files before they get their name."""
LOCK_SECS_MAX = 120
LIBRARY_VARIABLES = ("SHIV_FORCE_EXTRACT", "SHIV_COMPILE_PYC", "SHIV_PREPEND_PYTHONPATH")


def refuse(reason, code=1):
    """End with one sentence that names the cause and the cure."""
    print("%s: %s" % (NAME, reason), file=sys.stderr)
    sys.exit(code)


def read_about():
    """What the build wrote: version, build, machine, Pythons, glibc."""
    import json

    return json.loads(__loader__.get_data("about.json").decode("ascii"))


def keep_own_paths():
    """Import from this file and from Python itself, and from nothing that somebody's profile names.

    What PYTHONPATH says, or what was run at the start of Python, stands before Python's own
    directories, and would be taken for parts of this program. It is returned.
    """
    library = os.path.dirname(os.__file__)
    names = ("lib-dynload", "python%d%d.zip" % sys.version_info[:2])
    own = [path for path in sys.path if path == library or os.path.basename(path) in names]
    if library not in own:
        return []
    end = sys.path.index(own[-1]) + 1
    others = [path for path in sys.path[1:end] if path not in own]
    sys.path[1:end] = own
    return others


# Is this host fit?


def python_problem(about):
    """Why this Python cannot run the file; None when it can."""
    import platform
    import sysconfig

    known = about["pythons"]
    found = "%d.%d" % sys.version_info[:2]
    kind = platform.python_implementation()
    if kind != "CPython":
        return "%s %s" % (kind, found)
    if found not in known:
        return "Python %s" % found
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "a free-threaded Python %s" % found
    return None


def machine_problem(about):
    """Why this machine cannot run the file, as a sentence; None when it can."""
    machine = os.uname()[4]
    if machine != about["machine"]:
        return (
            "this file is for %s and this machine is %s: take the file whose name ends in %s.pyz"
            % (about["machine"], machine, machine)
        )
    if sys.maxsize < 2**32:
        return "this Python has 32 bits on a machine of 64: install a Python of 64 bits"
    try:
        name, _, version = os.confstr("CS_GNU_LIBC_VERSION").partition(" ")
    except (AttributeError, OSError, ValueError):
        name, version = "", ""
    if name != "glibc":
        return (
            "this system has no glibc (Alpine and other musl systems): the file needs glibc %s "
            "or newer, as Debian, Ubuntu, Fedora and RHEL have it" % about["glibc"]
        )
    if [int(part) for part in version.split(".")[:2]] < [int(x) for x in about["glibc"].split(".")]:
        return "glibc %s is too old: the file needs %s or newer (Debian 10, RHEL 8)" % (
            version,
            about["glibc"],
        )
    return None


def other_python(about):
    """The newest Python on PATH that can run the file; None when there is none."""
    import subprocess

    asks = (
        "import sys, sysconfig; free = sysconfig.get_config_var('Py_GIL_DISABLED'); "
        "print('free' if free else '%d.%d' % sys.version_info[:2])"
    )
    for version in sorted(about["pythons"], key=lambda each: -int(each.split(".")[1])):
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
            path = os.path.join(folder, "python" + version)
            if not folder or not os.access(path, os.X_OK):
                continue
            try:
                said = subprocess.check_output([path, "-I", "-c", asks], stderr=subprocess.STDOUT)
            except (OSError, subprocess.CalledProcessError):
                continue
            if said.decode("ascii", "replace").strip() == version:
                return path
    return None


def check_host(archive, about):
    """Go on with another Python where this one does not fit; refuse where none does."""
    problem = python_problem(about)
    if problem is not None:
        other = other_python(about)
        if other is not None:
            options = ["-I"] if getattr(sys.flags, "isolated", 0) else []
            options += ["-B"] if sys.flags.dont_write_bytecode else []
            os.execv(other, [other] + options + [archive] + sys.argv[1:])
        refuse(
            "it needs Python %s to %s; this is %s (%s), and no other is on PATH: install one "
            "(Debian 12: python3; RHEL 8 and 9: python3.12)"
            % (about["pythons"][0], about["pythons"][-1], problem, sys.executable)
        )
    problem = machine_problem(about)
    if problem is not None:
        refuse(problem)


def check_directory():
    """Refuse to start where no relative path can be meant."""
    try:
        os.getcwd()
    except OSError as error:
        refuse("the current directory cannot be read (%s): go to another one" % error.strerror)


# Where are the unpacked files?


def find_root(archive):
    """The directory below which the files are unpacked.

    What `self install` made stands beside the file and is only read.
    """
    installed = os.path.join(os.path.dirname(archive), "files")
    if os.path.basename(archive) == NAME and os.path.isdir(installed):
        return installed
    if os.environ.get("SHIV_ROOT"):
        return os.path.abspath(os.environ["SHIV_ROOT"])
    cache = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]  # systemd.exec(5)
    if cache:
        return os.path.abspath(os.path.join(cache, "files"))
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):  # counts for nothing then (XDG Base Directory Specification)
        home = os.path.join(home_of_user(), ".cache")
    if not os.path.isabs(home):
        refuse(
            "there is no home directory to unpack into: set SHIV_ROOT to a directory that this "
            "user can write, or let root run `%s self install`" % sys.argv[0]
        )
    return os.path.join(home, NAME)


def home_of_user():
    """The home directory of who runs this; a relative path where there is none."""
    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)  # an empty one would mean `/`
    return os.path.expanduser("~")


def is_complete(target, about):
    """Whether everything was unpacked there, and had reached the disk before it was named so."""
    try:
        with open(os.path.join(target, COMPLETE)) as marker:
            return marker.read().strip() == about["build"]
    except (IOError, OSError):
        return False


def check_above(root):
    """Refuse a place where another user could exchange what was unpacked: it would run as us.

    That is who owns a directory on the way there, or may write into one that is not sticky.
    """
    path, trusted = root, trusted_owners()
    while True:
        try:
            found = os.stat(path)
        except (OSError, IOError):
            found = None  # it is not there yet, and will be made by us
        if found is not None:
            is_sticky = found.st_mode & stat.S_ISVTX
            by_all = found.st_mode & stat.S_IWOTH
            by_group = found.st_mode & stat.S_IWGRP and found.st_gid != os.getegid()
            if found.st_uid not in trusted or (by_all and not is_sticky):
                refuse_foreign(path)
            if by_group and found.st_uid != 0 and not is_sticky:
                refuse_foreign(path)
        if os.path.dirname(path) == path:
            return
        path = os.path.dirname(path)


def trusted_owners():
    """Root and we ourselves; in a user namespace also those outside of it, who are told as one."""
    trusted = [0, os.geteuid()]
    try:
        with open("/proc/self/uid_map") as ids, open("/proc/sys/kernel/overflowuid") as outside:
            if ids.read().split() != ["0", "0", "4294967295"]:
                trusted.append(int(outside.read()))
    except (OSError, IOError, ValueError):
        pass
    return trusted


def refuse_foreign(path):
    """Another user could change what runs."""
    refuse(
        "another user could change what is unpacked below %s, which would run as you: set "
        "SHIV_ROOT to a directory of your own" % path
    )


def check_ours(target):
    """Refuse what another user has put there."""
    found = os.lstat(target)
    if found.st_uid not in (0, os.geteuid()):
        refuse(
            "%s belongs to another user (%d), who could change what runs: remove it, or set "
            "SHIV_ROOT to a directory of your own" % (target, found.st_uid)
        )
    if not stat.S_ISDIR(found.st_mode):
        refuse("%s is not the directory that was unpacked: remove it" % target)


def check_mount(target):
    """Refuse a file system whose libraries may not be loaded."""
    there = target
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if os.statvfs(there).f_flag & os.ST_NOEXEC:
        refuse(
            "%s is on a file system that is mounted noexec, so compiled modules cannot be loaded: "
            "set SHIV_ROOT to a directory elsewhere, or let root run `self install`, which puts "
            "them below /usr/lib" % target
        )


def unpack(archive, target, about):
    """Put the files there, all or none, whatever happens meanwhile. OSError when it cannot be."""
    import fcntl
    import time

    parent = os.path.dirname(target)
    os.makedirs(parent, exist_ok=True)
    # What stands there under this name is not followed, and not emptied.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(os.path.join(parent, ".lock"), flags, 0o644), "r+") as lock:
        deadline = time.monotonic() + LOCK_SECS_MAX
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    refuse(
                        "another process has been unpacking into %s for %d seconds: look what it "
                        "does, and start again" % (parent, LOCK_SECS_MAX)
                    )
                time.sleep(0.05)
        if not is_complete(target, about):
            _unpack_locked(archive, target, about)


def _unpack_locked(archive, target, about):
    import shutil

    made = target + ".tmp"
    for left in (made, target):  # what a crash, or an older way of unpacking, has left
        shutil.rmtree(left, ignore_errors=True)
    os.mkdir(made)  # and not into one that another user has made meanwhile
    try:
        write_files(archive, made)
        with open(os.path.join(made, COMPLETE), "w") as marker:
            marker.write(about["build"] + "\n")
        sync(made)
        os.rename(made, target)
        sync_folder(os.path.dirname(target))
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def changed_files(archive, folder):
    """Unpacked files that are missing or not what was built, and those that were not built."""
    import hashlib
    import zipfile

    with zipfile.ZipFile(archive) as content:
        lines = content.read("files.sha256").decode("utf-8").splitlines()
    wanted = dict(reversed(line.split("  ", 1)) for line in lines)
    found = []
    for name, digest in sorted(wanted.items()):
        try:
            with open(os.path.join(folder, name), "rb") as file:
                if hashlib.sha256(file.read()).hexdigest() != digest:
                    found.append("%s was changed" % os.path.join(folder, name))
        except OSError as error:
            found.append("%s: %s" % (os.path.join(folder, name), error.strerror))
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            known = os.path.relpath(path, folder) in wanted or name == COMPLETE
            if not known and os.path.basename(parent) != "__pycache__":
                found.append("%s does not belong there" % path)
    return found


def refuse_changed(archive, target):
    """Tell of what was changed, and end; nothing when nothing was."""
    found = changed_files(archive, target)
    if found:
        print("\n".join(found[:20]), file=sys.stderr)
        refuse(
            "%d of the unpacked files are damaged: remove %s and start again, or let root run "
            "`self install` of the file anew" % (len(found), target),
            code=3,
        )


def write_files(archive, folder):
    """Write every file that the archive lists, and look that each is what was built."""
    import hashlib
    import zipfile

    with zipfile.ZipFile(archive) as content:
        lines = content.read("files.sha256").decode("utf-8").splitlines()
        made = set()
        for line in lines:
            digest, _, name = line.partition("  ")
            try:
                body = content.read(name)
            except (zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
                refuse("%s is damaged (%s: %s): copy the file anew" % (archive, name, error))
            if hashlib.sha256(body).hexdigest() != digest:
                refuse("%s is damaged (%s): copy the file anew" % (archive, name))
            path = os.path.join(folder, name)
            parent = os.path.dirname(path)
            if parent not in made:
                os.makedirs(parent, exist_ok=True)
                made.add(parent)
            with open(path, "wb") as file:
                file.write(body)
            os.chmod(path, 0o644)
    for parent, _, _ in os.walk(folder):
        os.chmod(parent, 0o755)


def sync(folder):
    """Return when everything on its file system has reached the disk (syncfs(2))."""
    import ctypes

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None).syncfs(descriptor) != 0:
            os.sync()
    except AttributeError:
        os.sync()
    finally:
        os.close(descriptor)


def sync_folder(folder):
    """The same for the names in one directory."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unpack_or_refuse(archive, target, about):
    """Unpack; what the host does not allow is told in a sentence."""
    import errno

    umask = os.umask(0o022)
    try:
        unpack(archive, target, about)
    except OSError as error:
        cures = {
            errno.EROFS: "set SHIV_ROOT to a directory that can be written",
            errno.EACCES: "set SHIV_ROOT to a directory that this user can write",
            errno.EPERM: "set SHIV_ROOT to a directory that this user can write",
            errno.ENOSPC: "make room for 100 MB there, or set SHIV_ROOT to a directory elsewhere",
            errno.EDQUOT: "make room for 100 MB there, or set SHIV_ROOT to a directory elsewhere",
        }
        cure = cures.get(error.errno, "look at that directory and its disk, or set SHIV_ROOT")
        refuse("cannot unpack into %s (%s): %s" % (target, error.strerror or error, cure))
    finally:
        os.umask(umask)


def main():
    """Run the command of the archive."""
    others = keep_own_paths()
    archive = os.path.realpath(__loader__.archive)
    about = read_about()
    check_host(archive, about)
    if sys.argv[1:] == ["--version"]:
        print("%s %s" % (NAME, about["version"]))
        return
    check_directory()
    root = os.path.realpath(find_root(archive))
    check_above(root)
    target = os.path.join(root, "%s_%s" % (os.path.basename(archive), about["build"]))
    check_mount(root)
    if not is_complete(target, about):
        unpack_or_refuse(archive, target, about)
    check_ours(target)
    if sys.argv[1:] == ["self", "verify"]:  # also when the program cannot look any more
        refuse_changed(archive, target)
    try:
        hand_over(root, others)
    except Exception:
        refuse_changed(archive, target)
        raise


def hand_over(root, others):
    """Let shiv's bootstrap start the program from the unpacked files; the other directories of the
    path come after all of ours.

    What it is told in the environment is not for processes that the program starts.
    """
    import _bootstrap

    wanted = os.environ.get("SHIV_ROOT")
    run = _bootstrap.run

    def run_with_own_environment(module):
        del os.environ["SHIV_ROOT"]
        if wanted is not None:
            os.environ["SHIV_ROOT"] = wanted
        run(module)

    _bootstrap.run = run_with_own_environment
    # It is called when our directory has its place in the path.
    _bootstrap.prepend_pythonpath = lambda environment: sys.path.extend(others)
    for name in LIBRARY_VARIABLES:
        os.environ.pop(name, None)
    os.environ["SHIV_ROOT"] = root
    _bootstrap.bootstrap()


if __name__ == "__main__":
    main()
