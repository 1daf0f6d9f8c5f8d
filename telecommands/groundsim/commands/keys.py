"""``groundsim keys``: generate a ground key, trust the service's key, list the keys."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from telecommands.dictionary import Role
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.connection import GroundKeys
from telecommands.ground.errors import UnusableKey, UsageError
from telecommands.ground.rotation import KeyRotation
from telecommands.ground.sequence import SequenceFile
from telecommands.ground.station import add_key_folder_option, add_station_options, station_of
from telecommands.keys import (
    PUBLIC_SUFFIX,
    SECRET_SUFFIX,
    SERVICE_KEY,
    TELECOMMAND_SUFFIX,
    KeyRefused,
    certificate,
    fingerprint,
    generate_curve_pair,
    generate_telecommand_key,
    make_key_folder,
    publish_key_file,
    read_curve_public,
    read_unit,
    unit_metadata,
)
from telecommands.times import read_time


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("keys", help="generate, trust and list keys")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    generate = actions.add_parser(
        "generate",
        help="generate a key pair for the links and a telecommand key",
        description="Write NAME.key, NAME.key_secret and NAME.telecommand_key to the key folder.",
    )
    generate.set_defaults(command=_generate)
    generate.add_argument(
        "key", nargs="?", default="operator", metavar="NAME", help="user name (%(default)s)"
    )
    generate.add_argument("--watch-only", action="store_true", help="without a telecommand key")
    trust = actions.add_parser(
        "trust",
        help="store the service's public key",
        description="Copy the service's public key (its service.key) to the key folder.",
    )
    trust.set_defaults(command=_trust)
    trust.add_argument("public", type=Path, metavar="SERVICE.key", help="the service's public key")
    trust.add_argument("--force", action="store_true", help="replace the key trusted so far")
    listing = actions.add_parser("list", help="list the keys")
    listing.set_defaults(command=_list)
    rotate = actions.add_parser(
        "rotate",
        help="replace the keys of a user by new ones, here and on board",
        description="Generate new keys, send them to the service in a telecommand signed with the"
        " current keys, test them, and install them.  Repeat it if it is interrupted.",
    )
    rotate.set_defaults(command=_rotate)
    rotate.add_argument(
        "--old-until",
        default="+10min",
        metavar="TIME",
        help="time until which the current keys stay valid (%(default)s)",
    )
    add_station_options(rotate)
    for action in (generate, trust, listing):
        add_key_folder_option(action)


def _generate(arguments: argparse.Namespace) -> int:
    folder, name = arguments.keys, arguments.key
    try:
        if f"{name}{PUBLIC_SUFFIX}" == SERVICE_KEY:
            cause = "is reserved for the service's public key"
            raise KeyRefused(folder / SERVICE_KEY, cause, "Choose another name")
        generate_curve_pair(folder, name)
        if not arguments.watch_only:
            generate_telecommand_key(folder, name)
    except KeyRefused as refused:
        raise UnusableKey(refused.path, refused.cause, refused.cure) from refused
    public, telecommand = (
        folder / f"{name}{suffix}" for suffix in (PUBLIC_SUFFIX, TELECOMMAND_SUFFIX)
    )
    print(f"Generated {name} in {folder}; keep {name}{SECRET_SUFFIX} on this machine only.")
    print("On the flight side, after copying the files there over a secure channel:")
    extra = " --roles watch"
    if not arguments.watch_only:
        extra = f" --telecommand-key {telecommand} --roles {','.join(role.value for role in Role)}"
    print(f"  flightsw keys authorise {public}{extra}")
    print("Then here, with the service's public key:")
    print(f"  groundsim keys trust {SERVICE_KEY}")
    return 0


def _trust(arguments: argparse.Namespace) -> int:
    kept = arguments.keys / SERVICE_KEY
    try:
        public, unit = read_curve_public(arguments.public), read_unit(arguments.public)
        make_key_folder(arguments.keys)
        known = kept.exists() and read_curve_public(kept) == public
        if known and read_unit(kept) == unit:
            print(f"{kept} already holds this key")
            return 0
        if arguments.force:
            kept.unlink(missing_ok=True)
        publish_key_file(kept, certificate(public, unit_metadata(unit)))
    except KeyRefused as refused:
        cure = f"{refused.cure} (--force replaces it)" if kept.exists() else refused.cure
        raise UnusableKey(refused.path, refused.cause, cure) from refused
    of_unit = f"  unit {unit}" if unit else ""
    print(f"trusted {fingerprint(public)}  {kept}{of_unit}")
    return 0


def _rotate(arguments: argparse.Namespace) -> int:
    station = station_of(arguments)
    try:
        old_until = read_time(arguments.old_until, time.time_ns())
    except ValueError as error:
        raise UsageError("--old-until", str(error), "Give +10min, or ISO 8601 in UTC") from error

    def commanding(keys: GroundKeys, sequence: SequenceFile) -> TelecommandClient:
        return TelecommandClient(station.endpoints.telecommand, keys, sequence)

    shown = KeyRotation(arguments.keys, arguments.key_name, commanding).run(old_until)
    print(f"{arguments.key_name} has new keys: {shown}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    paths = sorted(arguments.keys.glob(f"*{PUBLIC_SUFFIX}"))
    if not paths:
        cure = "Run groundsim keys generate, or give --keys FOLDER"
        raise UnusableKey(arguments.keys, "holds no keys", cure)
    for path in paths:
        try:
            shown = fingerprint(read_curve_public(path))
        except KeyRefused as refused:
            print(f"{path.stem:<16} unusable: {refused.cause}. {refused.cure}")
            continue
        print(f"{path.stem:<16} {shown}  {_role(path)}")
    return 0


def _role(public: Path) -> str:
    if public.name == SERVICE_KEY:
        return "service key, trusted"
    if not public.with_suffix(SECRET_SUFFIX).exists():
        return "public key without its secret key: cannot be used here"
    commands = public.with_suffix(TELECOMMAND_SUFFIX).exists()
    return "commanding, telemetry, products" if commands else "telemetry, products"
