"""``flightsw keys``: the service's key pair and the clients that it accepts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flightsw.commands.options import Check, add_json_option, file_settings
from flightsw.errors import UsageError

if TYPE_CHECKING:
    from flightsw.keys import KeyFolder


def add_parser(commands: Any) -> None:
    """Add the command, its actions and their options."""
    parser = commands.add_parser("keys", help="who may listen and who may command")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    generate = actions.add_parser("generate", help="make the service's key pair")
    generate.set_defaults(run=run, action=_generate)
    generate.add_argument("--unit", help="name of this unit (default: the setting service.unit)")
    authorise = actions.add_parser("authorise", help="accept a client")
    authorise.set_defaults(run=run, action=_authorise)
    authorise.add_argument("public", type=Path, help="its public key, NAME.key")
    authorise.add_argument(
        "--telecommand-key", type=Path, help="NAME.telecommand_key: the client may also command"
    )
    revoke = actions.add_parser("revoke", help="stop accepting a client")
    revoke.set_defaults(run=run, action=_revoke)
    revoke.add_argument("name", help="the client's name")
    listed = actions.add_parser("list", help="list the clients that are accepted")
    listed.set_defaults(run=run, action=_list)
    for action in (generate, authorise, revoke, listed):
        action.add_argument("--settings", type=Path, help="TOML file that names the key folder")
        action.add_argument("--keys", type=Path, help="the key folder itself")
        add_json_option(action)


def run(arguments: argparse.Namespace, check: Check) -> int:
    """Run one action on the key folder."""
    from flightsw.keys import KeyFolder  # noqa: PLC0415

    check()
    service = file_settings(arguments).service
    if arguments.action is _generate:
        arguments.unit = arguments.unit or service.unit
    arguments.action(KeyFolder(arguments.keys or service.keys_folder), arguments)
    return 0


def _generate(folder: KeyFolder, arguments: argparse.Namespace) -> None:
    if not arguments.unit:
        raise UsageError("the unit", "has no name", "Give --unit NAME, or set service.unit")
    public = folder.generate(arguments.unit)
    print(f"the public key of {arguments.unit}, for its clients: {public}")
    print("next: flightsw keys authorise NAME.key --telecommand-key NAME.telecommand_key")


def _authorise(folder: KeyFolder, arguments: argparse.Namespace) -> None:
    name = folder.authorise(arguments.public, arguments.telecommand_key)
    print(f"{name} may listen{' and command' if arguments.telecommand_key else ''}")


def _revoke(folder: KeyFolder, arguments: argparse.Namespace) -> None:
    folder.revoke(arguments.name)
    print(f"{arguments.name} is no longer accepted")


def _list(folder: KeyFolder, arguments: argparse.Namespace) -> None:
    names = folder.names()
    if arguments.json:
        print(json.dumps([msgspec.to_builtins(name) for name in names]))
        return
    for name in names:
        right = "commands" if name.may_command else "listens" if name.fingerprint else "is not used"
        print(f"{name.name:24} {name.fingerprint or '-':32}  {right}")
        for problem in name.problems:
            print(f"  {problem}")
