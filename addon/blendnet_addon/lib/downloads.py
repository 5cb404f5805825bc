"""Results on their way home: by hash, each file complete or absent, going on after a cut line."""

import hashlib
import os
import secrets
from contextlib import closing

from .errors import DiskError, Refused, Unreachable
from .files import PIECE_BYTES, check, remove

RETRY_WAITS_S = (0.2, 1.0, 3.0, 10.0)


def download(manager, sha256, target, stop, progress=lambda count: None):
    """Fetch a blob to `target`. Raises Refused, Unreachable, DiskError, Stopped."""
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(6)}")
    try:
        os.makedirs(folder, exist_ok=True)
        with open(temporary, "xb", buffering=0) as file:
            _fetch(manager, sha256, file, stop, progress)
        os.replace(temporary, target)
    except OSError as error:
        raise DiskError(f"cannot write {target} ({error.strerror}): choose another output folder") from error
    finally:
        remove(temporary)


def _fetch(manager, sha256, file, stop, progress):
    digest, position, tries, cut = hashlib.sha256(), 0, 0, False
    while True:
        before = position
        try:
            with closing(manager.http.pieces(f"/v1/blobs/{sha256}", position, PIECE_BYTES)) as pieces:
                for data in pieces:
                    check(stop)
                    file.write(data)
                    digest.update(data)
                    position += len(data)
                    progress(len(data))
            if digest.hexdigest() == sha256:
                return
            if not cut:
                raise Refused(f"the file {sha256[:12]} arrived with other content: fetch it again", "hash_mismatch")
            # What came before the cut may have been damaged; it is made again by now.
            progress(-position)
            file.seek(0)
            file.truncate()
            digest, position, cut = hashlib.sha256(), 0, False
        except Unreachable:
            cut = True
            tries = 0 if position > before else tries
            if tries == len(RETRY_WAITS_S):
                raise
            stop.wait(RETRY_WAITS_S[tries])
            tries += 1
