"""Hot reload of the policy file: on change and on request, keeping the last good policy whatever happens."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from extauthz.config.policy_file.fault import PolicyFaults
from extauthz.config.policy_file.policy_file import load_policy
from extauthz.pdp.policy import Policy
from extauthz.service.ports import Observer, ReloadResult

LOOK_EVERY_S: Final = 1.0
"""How often the file is looked at. Kubernetes swaps a link when a ConfigMap changes, which no file event tells."""

_Stamp: TypeAlias = tuple[str, int, int, int] | None

_log = logging.getLogger("extauthz.policy")


class PolicyReloader:
    """Watches one policy file. `adopt` is called with each new policy that is whole.

    `refusal` says why this process cannot serve a policy, with an empty text where it can.
    """

    def __init__(
        self,
        path: Path,
        current: Policy,
        adopt: Callable[[Policy], None],
        observer: Observer,
        refusal: Callable[[Policy], str] = lambda _: "",
    ) -> None:
        self._refusal = refusal
        self._path = path
        self._revision = current.revision
        self._adopt = adopt
        self._observer = observer
        self._stamp = _stamp(path)
        self._asked = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._watch, name="extauthz-policy", daemon=True)
        self.last_faults = ""
        """What was wrong with the file when it was last read; empty when it is in force."""

    def start(self) -> None:
        """Begin watching."""
        self._thread.start()

    def stop(self) -> None:
        """End watching."""
        self._stopped = True
        self._asked.set()
        if self._thread.is_alive():
            self._thread.join()

    def ask(self) -> None:
        """Read the file again now (SIGHUP); returns at once."""
        self._asked.set()

    def reload(self) -> ReloadResult:
        """Read the file and put it in force if it is whole."""
        loaded = load_policy(self._path)
        faults = str(loaded) if isinstance(loaded, PolicyFaults) else self._refusal(loaded)
        if isinstance(loaded, PolicyFaults) or faults:
            self.last_faults = faults
            _log.error(
                "the policy file has faults and was not loaded; the policy in force stays (revision %s):\n%s",
                self._revision,
                faults,
            )
            return ReloadResult.FAILED
        self.last_faults = ""
        # Also with the same revision: secrets, which may have been rotated, are no part of it.
        self._adopt(loaded)
        if loaded.revision == self._revision:
            return ReloadResult.UNCHANGED
        self._revision = loaded.revision
        _log.info("policy revision %s is in force", loaded.revision)
        return ReloadResult.OK

    def _watch(self) -> None:
        while True:
            asked = self._asked.wait(LOOK_EVERY_S)
            self._asked.clear()
            if self._stopped:
                return
            stamp = _stamp(self._path)
            if not asked and stamp == self._stamp:
                continue
            self._stamp = stamp
            try:
                result = self.reload()
            except Exception as error:  # noqa: BLE001 - a fault of ours in loading must not end the watching
                _log.error("the policy file could not be loaded: %s; the policy in force stays", type(error).__name__)
                result = ReloadResult.FAILED
            self._observer.reloaded(result)


def _stamp(path: Path) -> _Stamp:
    """What changes whenever the file's content may have: where links lead, and the file there."""
    try:
        real = path.resolve()
        found = real.stat()
    except OSError:
        return None
    return (str(real), found.st_ino, found.st_size, found.st_mtime_ns)
