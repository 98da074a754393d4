"""The lab's command line: install, up, status, ssh, exec, down."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

from tests.lab import fleets, image, layers
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.state import State, known_labs

_DEFAULT_NAME = "lab"


def main() -> None:
    arguments = _parser().parse_args()
    try:
        arguments.action(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        raise SystemExit(1) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    install = actions.add_parser("install", help="make everything that the lab needs")
    install.add_argument("--layers", action="store_true", help="and every layer of further servers")
    install.set_defaults(action=_install)

    up = actions.add_parser("up", help="raise a lab, which stays until `down`")
    up.add_argument("--fleet", default="demo", choices=sorted(fleets.FLEETS))
    up.add_argument("--initial-validity", type=int, default=300, metavar="SECONDS")
    up.add_argument("--minutes-validity", type=int, default=240, metavar="SECONDS")
    up.set_defaults(action=_up)

    status = actions.add_parser("status", help="say which labs are up, and with what")
    status.set_defaults(action=_status)

    ssh = actions.add_parser("ssh", help="log in to a host, or run a command there")
    ssh.add_argument("host")
    ssh.add_argument("command", nargs=argparse.REMAINDER)
    ssh.set_defaults(action=_ssh)

    run = actions.add_parser("exec", help="run a command of this machine in the lab's network")
    run.add_argument("command", nargs=argparse.REMAINDER)
    run.set_defaults(action=_exec)

    down = actions.add_parser("down", help="take a lab down, also what a crash has left of it")
    down.add_argument("--all", action="store_true", help="every lab of this machine")
    down.set_defaults(action=_down)

    for action in (up, ssh, run, down):
        action.add_argument("--name", default=_DEFAULT_NAME, help="which lab (%(default)s)")
    return parser


def _install(arguments: argparse.Namespace) -> None:
    built = image.install()
    for layer in layers.Layer if arguments.layers else ():
        layers.ready(built, layer, print)


def _up(arguments: argparse.Namespace) -> None:
    lab = Lab.up(
        arguments.name,
        fleets.named(arguments.fleet),
        initial_validity=arguments.initial_validity,
        minutes_validity=arguments.minutes_validity,
        detached=True,
    )
    print(f"lab {lab.name} is up: {len(lab.hosts)} hosts, {len(lab.sites)} certificates")
    print(f"inventory: {lab.inventory}\nACME directory: {lab.ca.directory_url}")
    lab.close()


def _status(_: argparse.Namespace) -> None:
    labs = known_labs()
    if not labs:
        print("no lab is up")
    for state in labs:
        if not state.alive:
            print(f"{state.name}: has ended; `down --name {state.name}` takes its remains away")
            continue
        lab = Lab.attach(state.name)
        print(f"{lab.name}: fleet {lab.fleet.name}, {len(lab.sites)} certificates")
        for host in lab.hosts.values():
            condition = "up" if host.process.alive else "ended"
            print(f"  {host.name:12} {host.address:12} {condition:6} {' '.join(host.services)}")
        lab.close()


def _ssh(arguments: argparse.Namespace) -> NoReturn:
    lab = Lab.attach(arguments.name)
    if arguments.host not in lab.hosts:
        raise LabError(f"there is no host {arguments.host!r}; there are {', '.join(lab.hosts)}")
    command = [*lab.exec_prefix(), *lab.ssh_command(arguments.host), *arguments.command]
    os.execvp(command[0], command)  # noqa: S606


def _exec(arguments: argparse.Namespace) -> NoReturn:
    if not arguments.command:
        raise LabError("exec needs a command")
    command = [*Lab.attach(arguments.name).exec_prefix(), *arguments.command]
    os.execvp(command[0], command)  # noqa: S606


def _down(arguments: argparse.Namespace) -> None:
    labs = known_labs() if arguments.all else [State(arguments.name)]
    for state in labs:
        there = state.folder.exists() or state.cgroup.exists()
        state.remove()
        print(f"lab {state.name} is down" if there else f"no lab named {state.name} was up")


if __name__ == "__main__":
    main()
