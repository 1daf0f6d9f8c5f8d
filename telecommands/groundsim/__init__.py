"""The ground side's tools: the scene simulator and the judge of its masks."""
