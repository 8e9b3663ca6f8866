"""The ways in which a configuration changes, in one table: real tools and real system calls, and what must be seen.

The rows are those of the design's measurements of watchdog, and what its rules for settling are for.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from reload.ground import Scenario, pause, text

GAP_S = 0.2
APP = "conf/app.yaml"
OTHER = "conf/other.yaml"
REAL = "farther/real"


def write(path: Path, number: int) -> None:
    """Write a file in place."""
    path.write_text(text(number), encoding="utf-8")


def sh(folder: Path, *words: str | Path, **more: str) -> None:
    """Run a real tool."""
    environment = {**os.environ, **more, "HOME": str(folder)}
    subprocess.run(words, cwd=folder, env=environment, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def plain(folder: Path) -> None:
    """Make the usual root: two files."""
    (folder / "conf").mkdir()
    write(folder / APP, 1)
    write(folder / OTHER, 1)


def beside(folder: Path, name: str, number: int) -> None:
    """Make another folder like the root."""
    (folder / name).mkdir()
    write(folder / name / "app.yaml", number)
    write(folder / name / "other.yaml", 1)


def append_prepare(folder: Path) -> None:
    """Begin with a file that an appended line completes anew."""
    plain(folder)
    (folder / APP).write_text("first: 1\nlast: 1\n", encoding="utf-8")


def appended(folder: Path) -> None:
    """Append what makes it another whole file: YAML's later key wins for PyYAML."""
    with (folder / APP).open("a", encoding="utf-8") as file:
        file.write("first: 2\nlast: 2\n")


def halves(folder: Path) -> None:
    """Write half, wait, write the rest."""
    content = text(2)
    with (folder / APP).open("w", encoding="utf-8") as file:
        file.write(content[:100])
        file.flush()
        pause(GAP_S)
        file.write(content[100:])


def renamed(folder: Path, where: str) -> None:
    """Write a new file elsewhere and rename it over the old one."""
    write(folder / where, 2)
    (folder / where).replace(folder / APP)


def vim(folder: Path, copy: str) -> None:
    """Edit with vim, or with its system calls where there is none."""
    if shutil.which("vim"):
        words = f"set nobackup writebackup backupskip= backupcopy={copy}", "%s/1/2/", "wq"
        sh(folder, "vim", "-Nu", "NONE", "-i", "NONE", "-es", *(part for word in words for part in ("-c", word)), APP)
        return
    path, backup = folder / APP, folder / f"{APP}~"
    (folder / "conf" / "4913").touch()
    (folder / "conf" / "4913").unlink()
    if copy == "no":
        path.rename(backup)
    else:
        shutil.copy2(path, backup)
    write(path, 2)
    path.chmod(0o644)
    backup.unlink()


def sed(folder: Path) -> None:
    """Edit with sed -i."""
    sh(folder, "sed", "-i", "s/1/2/", APP)


def repository(folder: Path) -> None:
    """Make the root a checked-out repository with another branch."""
    plain(folder)
    conf = folder / "conf"
    names = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for words in ("init -q -b one", "add .", "commit -qm 1", "checkout -qb two"):
        sh(conf, "git", *words.split(), **names)
    write(folder / APP, 2)
    sh(conf, "git", "commit", "-qam", "2", **names)
    sh(conf, "git", "checkout", "-q", "one")


def checkout(folder: Path) -> None:
    """Change the branch."""
    sh(folder / "conf", "git", "checkout", "-q", "two")


def touch(folder: Path) -> None:
    """Change the time only."""
    sh(folder, "touch", APP)


def chmod(folder: Path) -> None:
    """Change the mode only."""
    sh(folder, "chmod", "600", APP)


def unchanged_outside(folder: Path) -> None:
    """Change the content and restore size and mtime."""
    path = folder / APP
    before = path.stat()
    write(path, 2)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def config_map(folder: Path) -> None:
    """Mount as the kubelet does: the files are links through ..data."""
    conf = folder / "conf"
    (conf / "..1").mkdir(parents=True)
    write(conf / "..1" / "app.yaml", 1)
    (conf / "..data").symlink_to("..1")
    (conf / "app.yaml").symlink_to("..data/app.yaml")


def data_swap(folder: Path) -> None:
    """Swap ..data as the kubelet does."""
    conf = folder / "conf"
    (conf / "..2").mkdir()
    write(conf / "..2" / "app.yaml", 2)
    (conf / "..data_tmp").symlink_to("..2")
    (conf / "..data_tmp").replace(conf / "..data")
    shutil.rmtree(conf / "..1")


def new_folder(folder: Path) -> None:
    """Make a folder below the root, with a file that is waited for."""
    (folder / "conf" / "rules").mkdir()
    write(folder / "conf" / "rules" / "a.yaml", 2)


def many_prepare(folder: Path) -> None:
    """Keep 200 files ready."""
    plain(folder)
    (folder / "many").mkdir()
    for number in range(200):
        write(folder / "many" / f"m{number:03}.yaml", 2)


def many(folder: Path) -> None:
    """Copy 200 files into the root."""
    sh(folder, "cp", "-r", "many/.", "conf")


def recreate(folder: Path) -> None:
    """Remove the root and make it anew."""
    shutil.rmtree(folder / "conf")
    beside(folder, "conf", 2)


def replace_root(folder: Path) -> None:
    """Rename the root away and another one in place."""
    beside(folder, "next", 2)
    (folder / "conf").rename(folder / "old")
    (folder / "next").rename(folder / "conf")


def linked_root(folder: Path) -> None:
    """Make the root a link to a release."""
    beside(folder, "r1", 1)
    beside(folder, "r2", 2)
    (folder / "conf").symlink_to("r1")


def swap_root_link(folder: Path) -> None:
    """Swap the link, as a deployment does."""
    sh(folder, "ln", "-sfn", "r2", "conf")


def linked_file(folder: Path) -> None:
    """Make a file of the root a link to elsewhere, over two hops and three folders, upwards from a linked one."""
    plain(folder)
    for name in ("far", "farther", "far/release"):
        (folder / name).mkdir()
    (folder / "conf" / "current").symlink_to("../far/release")
    write(folder / "farther" / "real", 1)
    (folder / "far" / "hop").symlink_to("../farther/real")
    (folder / APP).unlink()
    (folder / APP).symlink_to("current/../hop")


def second_hop(folder: Path) -> None:
    """Point the second link elsewhere."""
    write(folder / "farther" / "another", 2)
    (folder / "far" / "hop.tmp").symlink_to("../farther/another")
    (folder / "far" / "hop.tmp").replace(folder / "far" / "hop")


def truncated(folder: Path) -> None:
    """Empty the file, close it, and write it later."""
    (folder / APP).write_text("", encoding="utf-8")
    pause(GAP_S)
    write(folder / APP, 2)


def deleted(folder: Path) -> None:
    """Delete the file and write it later."""
    (folder / APP).unlink()
    pause(GAP_S)
    write(folder / APP, 2)


def created_empty(folder: Path) -> None:
    """Make a new file that stays empty for a while."""
    (folder / "conf" / "new.yaml").touch()
    pause(GAP_S)
    write(folder / "conf" / "new.yaml", 2)


def removed(folder: Path) -> None:
    """Remove a file for good."""
    (folder / OTHER).unlink()


def with_rules(folder: Path) -> None:
    """Put a file that is read into a folder below the root."""
    plain(folder)
    (folder / "conf" / "rules").mkdir()
    write(folder / "conf" / "rules" / "a.yaml", 1)


def folder_swap(folder: Path) -> None:
    """Rename a folder of the root away and another one in place."""
    (folder / "conf" / "rules.new").mkdir()
    write(folder / "conf" / "rules.new" / "a.yaml", 2)
    (folder / "conf" / "rules").rename(folder / "conf" / "rules.old")
    (folder / "conf" / "rules.new").rename(folder / "conf" / "rules")


def with_secret(folder: Path) -> None:
    """Put a secret file beside the root."""
    plain(folder)
    (folder / "secrets").mkdir()
    write(folder / "secrets" / "token", 1)


def rotated(folder: Path) -> None:
    """Rotate the secret."""
    write(folder / "secrets" / "token.tmp", 2)
    (folder / "secrets" / "token.tmp").replace(folder / "secrets" / "token")


def busy(folder: Path, where: str) -> float:
    """Edit while another file beside is written all the time, before and after."""
    edited = 0.0
    with (folder / where).open("a", encoding="utf-8") as log:
        for number in range(300):
            log.write("a line\n")
            log.flush()
            if number == 150:
                write(folder / APP, 2)
                edited = time.monotonic()
            pause(0.001)
    return edited


def mapped(folder: Path) -> None:
    """Write through a memory map, which tells nobody."""
    path = folder / APP
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[:] = text(2).encode()
    os.utime(path)


def cut(folder: Path) -> None:
    """Shorten with truncate(2), which opens and closes nothing."""
    os.truncate(folder / APP, len("first: 2\nlast: 2\n"))


def cut_prepare(folder: Path) -> None:
    """Begin with a file whose beginning is whole."""
    plain(folder)
    (folder / APP).write_text("first: 2\nlast: 2\nfirst: 1\nlast: 1\n", encoding="utf-8")


def single(folder: Path) -> None:
    """Make one file the root."""
    write(folder / "app.yaml", 1)


def single_edit(folder: Path) -> None:
    """Rename over the one file."""
    write(folder / "app.tmp", 2)
    (folder / "app.tmp").replace(folder / "app.yaml")


def exchanged(folder: Path) -> None:
    """Swap two folders in one system call (renameat2)."""
    beside(folder, "next", 2)
    libc = ctypes.CDLL(None, use_errno=True)
    here, exchange = -100, 2
    old, new = os.fsencode(folder / "conf"), os.fsencode(folder / "next")
    assert libc.renameat2(here, old, here, new, exchange) == 0, os.strerror(ctypes.get_errno())


def in_the_way(folder: Path, what: Callable[[Path], None], where: str = APP) -> None:
    """Put something else in its place for a while."""
    path, kept = folder / where, folder / "kept"
    path.rename(kept)
    what(path)
    pause(GAP_S)
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    kept.rename(path)
    write(folder / APP, 2)


EDITED = {APP: 2, OTHER: 1}
SCENARIOS: tuple[Scenario, ...] = (
    Scenario("written in place", lambda folder: write(folder / APP, 2), EDITED, plain),
    Scenario("appended", appended, EDITED, append_prepare),
    Scenario("half written, the rest 200 ms later", halves, EDITED, plain),
    Scenario("renamed over, from the directory", partial(renamed, where="conf/app.tmp"), EDITED, plain),
    Scenario("renamed over, from outside", partial(renamed, where="app.tmp"), EDITED, plain),
    Scenario("vim in place", partial(vim, copy="yes"), EDITED, plain),
    Scenario("vim by rename", partial(vim, copy="no"), EDITED, plain),
    Scenario("sed -i", sed, EDITED, plain),
    Scenario("git checkout", checkout, EDITED, repository),
    Scenario("touch", touch, None, plain),
    Scenario("chmod", chmod, None, plain),
    Scenario("same size, mtime restored", unchanged_outside, EDITED, plain),
    Scenario("Kubernetes ..data swap", data_swap, {APP: 2}, config_map),
    Scenario(
        "new sub-directory with a file", new_folder, {APP: 1, OTHER: 1, "conf/rules/a.yaml": 2}, plain,
        further=("conf/rules/a.yaml",),
    ),
    Scenario(
        "200 files at once", many, {APP: 1, **{f"conf/m{number:03}.yaml": 2 for number in range(200)}, OTHER: 1},
        many_prepare,
    ),
    Scenario("root deleted and recreated", recreate, EDITED, plain),
    Scenario("root renamed away, a new one in place", replace_root, EDITED, plain),
    Scenario("root exchanged in one call", exchanged, EDITED, plain),
    Scenario("root is a link, swapped", swap_root_link, EDITED, linked_root),
    Scenario("file is a link, its target edited", lambda folder: write(folder / REAL, 2), EDITED, linked_file),
    Scenario("file is a link to a link, that one swapped", second_hop, EDITED, linked_file),
    Scenario("truncated, written 200 ms later", truncated, EDITED, plain),
    Scenario("deleted, created 200 ms later", deleted, EDITED, plain),
    Scenario("created empty, filled 200 ms later", created_empty, {APP: 1, "conf/new.yaml": 2, OTHER: 1}, plain),
    Scenario("removed for good", removed, {APP: 1}, plain),
    Scenario(
        "sub-directory swapped", folder_swap, {APP: 1, OTHER: 1, "conf/rules/a.yaml": 2}, with_rules,
        further=("conf/rules/a.yaml",),
    ),
    Scenario(
        "secret file rotated", rotated, {APP: 1, OTHER: 1, "secrets/token": 2}, with_secret, further=("secrets/token",)
    ),
    Scenario("a busy log in the directory", partial(busy, where="conf/app.log"), EDITED, plain),
    Scenario("a busy file beside the root", partial(busy, where="sibling.yaml"), EDITED, plain),
    Scenario("written through a memory map", mapped, EDITED, plain),
    Scenario("cut by truncate(2)", cut, EDITED, cut_prepare),
    Scenario("a directory in the file's place for 200 ms", partial(in_the_way, what=Path.mkdir), EDITED, plain),
    Scenario("a pipe in the file's place for 200 ms", partial(in_the_way, what=os.mkfifo), EDITED, plain),
    Scenario(
        "a link to itself in the file's place for 200 ms",
        partial(in_the_way, what=lambda path: path.symlink_to(path.name)), EDITED, plain,
    ),
    Scenario(
        "a file in the root's place for 200 ms", partial(in_the_way, what=Path.touch, where="conf"), EDITED, plain
    ),
    Scenario("one file as root, renamed over", single_edit, {"app.yaml": 2}, single, root="app.yaml"),
    Scenario(
        "one file as root, in place", lambda folder: write(folder / "app.yaml", 2), {"app.yaml": 2}, single,
        root="app.yaml",
    ),
)  # fmt: skip
