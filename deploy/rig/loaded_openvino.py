"""Loads OpenVINO as the simulator does, for the fork server, which can only import modules.

Without that, a thread that sends OpenVINO's usage report is there when processes are forked, and
the locks that it holds at that moment are never released in them.
"""

from __future__ import annotations

from flightsw.dimc.simulator.int8_graph import load_openvino

load_openvino()
