# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a request to the host program through the open connection, and its answer back.

The program, its importer and the request are one text on the standard input of `python3 -`:
nothing is copied to the host, and a secret exists only in that pipe. See
docs/decisions/0001-one-host-program.md. An action makes the program ready when it is loaded,
once for all hosts.
"""

from __future__ import annotations

import json
import shlex
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import become_loader, connection_loader

from . import program
from .program import prepare

if t.TYPE_CHECKING:
    from ansible.plugins.action import ActionBase
    from ansible.plugins.connection import ConnectionBase

__all__ = ["HostProgramError", "command", "parse", "payload", "prepare", "send", "send_to"]

BEGIN = "-----BEGIN NOTAFTER ANSWER-----"
END = "-----END NOTAFTER ANSWER-----"
_REQUEST = "REQUEST = "
_FLAGS = "-I -S -B -"  # isolated, no site, no byte code: nothing of the host's own Python set-up
_SEARCH = (
    "for p in /usr/bin/python3 /usr/libexec/platform-python python3; do "
    f'command -v "$p" >/dev/null 2>&1 && exec "$p" {_FLAGS}; done; echo "no python3 here" >&2; exit 127'
)


class HostProgramError(AnsibleError):
    """The host program gave no answer, or said that it could not do what was asked."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def payload(request: dict[str, t.Any]) -> bytes:
    """What goes to the standard input of the host's Python."""
    text = program.prepare(request.get("op"))
    return f"{text}{_REQUEST}{json.dumps(request)!r}\n{program.BOOTSTRAP}".encode()


def command(interpreter: object) -> str:
    """The command on the host: the interpreter that the inventory names, else the first that is there."""
    if not isinstance(interpreter, str) or not interpreter or interpreter.startswith("auto"):
        return _SEARCH
    return f"{shlex.quote(interpreter)} {_FLAGS}"


def parse(code: int, stdout: str, stderr: str) -> dict[str, t.Any]:
    """The answer in what the host printed; raises HostProgramError where there is none or it says no."""
    _before, begin, rest = stdout.partition(BEGIN)
    text, end, _after = rest.partition(END)
    if not begin or not end:
        said = (stderr or stdout).strip().splitlines()
        # A Python that was cut off in the middle of the request shows that line, with the key that is in it.
        told = "; ".join([line for line in said if _REQUEST not in line][-3:])
        raise HostProgramError(
            "no_answer", f"the host program gave no answer (rc {code}): {told or 'nothing'}"
        )
    answer: dict[str, t.Any] = json.loads(text)
    if not answer.pop("ok"):
        raise HostProgramError(str(answer["kind"]), str(answer["message"]))
    return answer


def send(action: ActionBase, request: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
    """Runs a request on the host of the task (or the one that the task is delegated to)."""
    variables = task_vars
    if action._task.delegate_to:
        variables = task_vars.get("ansible_delegated_vars", {}).get(action._task.delegate_to, task_vars)
    interpreter = variables.get("ansible_python_interpreter")
    if interpreter is not None:
        interpreter = action._templar.template(interpreter)
    result = action._low_level_execute_command(command(interpreter), in_data=payload(request))
    return parse(result["rc"], result["stdout"], result["stderr"])


def send_to(
    action: ActionBase, host: str, request: dict[str, t.Any], task_vars: dict[str, t.Any]
) -> dict[str, t.Any]:
    """Runs a request on another host of the inventory, over a connection of its own.

    What one host answers and another must have (a key, say) so never becomes a variable.
    """
    hostvars = task_vars["hostvars"]
    if host not in hostvars:
        raise AnsibleError(f"there is no host {host!r} in the inventory")
    variables = dict(hostvars[host])
    connection = _connection(action, host, variables)
    text = command(variables.get("ansible_python_interpreter"))
    if connection.become:
        text = connection.become.build_become_command(text, connection._shell)
    try:
        code, stdout, stderr = connection.exec_command(
            f"/bin/sh -c {shlex.quote(text)}", in_data=payload(request), sudoable=bool(connection.become)
        )
    except AnsibleConnectionFailure as error:  # it is not the host of the task that cannot be reached
        raise AnsibleError(f"the issuer {host} cannot be reached: {error}") from error
    finally:
        connection.close()
    return parse(code, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))


def _connection(action: ActionBase, host: str, variables: dict[str, t.Any]) -> ConnectionBase:
    context = action._play_context.copy()
    context.remote_addr = variables.get("ansible_host", host)
    kind = variables.get("ansible_connection", "local" if host == "localhost" else "ssh")
    connection = connection_loader.get(kind, context, None)
    if connection is None:
        raise AnsibleError(f"there is no connection plugin {kind!r} (host {host})")
    connection.set_options(var_options=connection._resolve_option_variables(variables, action._templar))
    connection._shell.set_options(var_options={})
    if boolean(variables.get("ansible_become", context.become), strict=False):
        plugin = become_loader.get(variables.get("ansible_become_method", context.become_method or "sudo"))
        plugin.set_options(var_options=variables)
        connection.set_become_plugin(plugin)
    return connection
