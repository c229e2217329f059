"""Chooses a small corpus: of all files that a target has met, those that together
reach most of the code, at most so many and so large that a repository can hold them.
Files whose names are more than a number were written by people, and stay.

    minimise.py PROGRAM TARGET FOUND COMMITTED
"""

import pathlib
import subprocess
import sys
import tempfile

# As `tests/corpora.rs` has them, with some room for files that people add.
FILES = 48
BYTES = 90_000
# One file takes no more than this of it.
LARGEST = 4_000


def reached(program, folders):
    """What each file reaches, as libFuzzer itself tells when it merges."""
    with tempfile.TemporaryDirectory() as scratch:
        control = pathlib.Path(scratch, "control")
        into = pathlib.Path(scratch, "into")
        into.mkdir()
        options = ["-set_cover_merge=1", f"-max_len={LARGEST}", f"-merge_control_file={control}"]
        subprocess.run([program, *options, into, *folders], check=True, stderr=subprocess.DEVNULL)
        lines = control.read_text().splitlines()
    names = lines[2 : 2 + int(lines[0])]
    features = {}
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "FT":
            index, *numbers = rest.split()
            features[pathlib.Path(names[int(index)])] = set(numbers)
    return features


def chosen(features, kept):
    """Greedily: each time the file that adds most to those that are kept."""
    left = {path: reaches for path, reaches in features.items() if path not in kept}
    seen = set().union(*(features[path] for path in kept))
    room = BYTES - sum(path.stat().st_size for path in kept)
    for _ in range(FILES - len(kept)):
        best = max(left, key=lambda path: (len(left[path] - seen), -path.stat().st_size), default=None)
        if best is None or not left[best] - seen:
            return
        new = left.pop(best)
        if best.stat().st_size <= room:
            room -= best.stat().st_size
            seen |= new
            yield best


def main():
    program, target, found, committed = sys.argv[1:]
    features = reached(program, [found, committed])
    folder = pathlib.Path(committed)
    kept = [path for path in folder.iterdir() if not path.name.isdigit()]
    added = list(chosen(features, kept))
    data = [path.read_bytes() for path in added]
    for path in folder.iterdir():
        if path not in kept:
            path.unlink()
    for number, each in enumerate(data):
        (folder / f"{number:02}").write_bytes(each)
    everything = len(set().union(*features.values()))
    now = len(set().union(*(features[path] for path in kept + added)))
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{target}: {len(kept) + len(added)} files of {size} bytes reach {now} of {everything} features")


main()
