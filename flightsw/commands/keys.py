"""``flightsw keys``: the service's key pair and the clients that it accepts."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flightsw.commands.options import Check, add_json_option, file_settings
from flightsw.errors import UsageError
from telecommands.dictionary import Role
from telecommands.times import read_moment

if TYPE_CHECKING:
    from flightsw.keys import AuthorisedKey, KeyFolder


def add_parser(commands: Any) -> None:
    """Add the command, its actions and their options."""
    parser = commands.add_parser("keys", help="manage the keys of the service and its clients")
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
    roles = [role.value for role in Role]
    authorise.add_argument(
        "--roles",
        metavar="ROLE,…",
        help=f"what it may do, of {', '.join(roles)} (default: all with --telecommand-key, else"
        f" {Role.WATCH.value}; a known client keeps its roles)",
    )
    authorise.add_argument(
        "--expires",
        metavar="TIME",
        help="time at which its rights end: ISO 8601, +90d, or never",
    )
    authorise.add_argument(
        "--old-until",
        metavar="TIME",
        help="for a rotation: keep the client's current key valid until this time",
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
    # A key folder that is given alone lies in that of the state, as by default.
    alone = arguments.keys and not arguments.settings
    folder = KeyFolder(arguments.keys or service.keys_folder, None if alone else service.state_dir)
    arguments.action(folder, arguments)
    return 0


def _generate(folder: KeyFolder, arguments: argparse.Namespace) -> None:
    if not arguments.unit:
        raise UsageError("the unit", "has no name", "Give --unit NAME, or set service.unit")
    public = folder.generate(arguments.unit)
    print(f"the public key of {arguments.unit}, for its clients: {public}")
    print("next: flightsw keys authorise NAME.key --telecommand-key NAME.telecommand_key")


def _authorise(folder: KeyFolder, arguments: argparse.Namespace) -> None:
    client = folder.authorise(
        arguments.public,
        arguments.telecommand_key,
        roles=_roles(arguments.roles),
        expires="as before" if arguments.expires is None else _expiry(arguments.expires),
        old_until=None
        if arguments.old_until is None
        else _time("--old-until", arguments.old_until),
    )
    known = next(one for one in folder.names() if one.name == client.name)
    print(f"{known.name} may {', '.join(known.roles)}{_ends(known)}")
    if client.may(Role.COMMAND) and not known.may_command:
        print("it has no telecommand key: it relays telecommands that others have signed")


def _roles(text: str | None) -> frozenset[Role] | None:
    from flightsw.keys.grant import roles_of  # noqa: PLC0415
    from telecommands.keys import KeyRefused  # noqa: PLC0415

    if text is None:
        return None
    try:
        return roles_of(text.replace(",", " ").split(), Path("--roles"))
    except KeyRefused as refused:
        raise UsageError("--roles", refused.cause, refused.cure) from refused


def _expiry(text: str) -> int | None:
    return None if text == "never" else _time("--expires", text)


def _time(option: str, text: str) -> int:
    try:
        return read_moment(text, time.time_ns())
    except ValueError as error:
        cause = f"cannot be {text!r}, which is not a time"
        raise UsageError(option, cause, "Give ISO 8601 in UTC, or +90d, +2h, +10min") from error


def _revoke(folder: KeyFolder, arguments: argparse.Namespace) -> None:
    folder.revoke(arguments.name)
    print(f"{arguments.name} is no longer accepted")


def _list(folder: KeyFolder, arguments: argparse.Namespace) -> None:
    names = folder.names()
    if arguments.json:
        print(json.dumps([msgspec.to_builtins(name) for name in names]))
        return
    for name in names:
        rights = ", ".join(name.roles) + _ends(name) if name.fingerprint else "is not used"
        print(f"{name.name:24} {name.fingerprint or '-':32}  {rights}")
        if name.retiring:
            print(f"{'':24} {name.retiring:32}  old key, valid until {name.retires}")
        if name.fingerprint and not name.roles_given:
            print("  its file names no roles; give them with flightsw keys authorise --roles")
        for problem in name.problems:
            print(f"  {problem}")


def _ends(name: AuthorisedKey) -> str:
    return f", until {name.expires}" if name.expires else ""
