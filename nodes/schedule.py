"""Perfusion Schedule: a concept's strength and bias over the sampling range."""

from __future__ import annotations

from comfy_api.latest import io

from ..perfusion_ops.edit.schedule import INTERPOLATIONS, Level, Schedule
from .schema import ScheduleIO, percent_input, schema, shift_input, strength_input

BEGINS = "Where in sampling the change begins. Before, the start values hold."
ENDS = "Where in sampling the change ends. After, the end values hold."
STRENGTH = "Times visual_strength, at {}. 1: as Apply sets it. 0: the word draws the superclass."
SHIFT = "Added to Apply's bias, at {}. 0: as Apply sets it. Above 0: more of the text. Below 0: more of the subject."


class PerfusionSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "schedule", "keyframes", "strength over time", "bias over time", "timestep range"],
            node_id="PerfusionSchedule",
            display_name="Perfusion Schedule",
            description="Changes a concept's visual strength and bias during sampling, from one point to another. "
            "Chain this node for more points.",
            inputs=[
                percent_input("start_percent", 0.0, BEGINS),
                percent_input("end_percent", 1.0, ENDS),
                strength_input(STRENGTH.format("start_percent"), "strength_start"),
                strength_input(STRENGTH.format("end_percent"), "strength_end"),
                shift_input("bias_shift_start", SHIFT.format("start_percent")),
                shift_input("bias_shift_end", SHIFT.format("end_percent")),
                io.Combo.Input(
                    "interpolation",
                    options=list(INTERPOLATIONS),
                    default="linear",
                    tooltip="How the values go from point to point. linear: evenly. ease_in: slowly at first. "
                    "ease_out: slowly at last. ease_in_out: both. step: the start values up to end_percent, then the "
                    "end values.",
                ),
                ScheduleIO.Input(
                    "prev_schedule",
                    optional=True,
                    tooltip="A schedule before this one, which ends at start_percent or earlier.",
                ),
            ],
            outputs=[
                ScheduleIO.Output(
                    display_name="schedule",
                    tooltip="For the schedule input of Apply Key-Locked Attention, of one concept or of several.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        start_percent,
        end_percent,
        strength_start,
        strength_end,
        bias_shift_start,
        bias_shift_end,
        interpolation,
        prev_schedule=None,
    ) -> io.NodeOutput:
        first = Level(start_percent, strength_start, bias_shift_start)
        last = Level(end_percent, strength_end, bias_shift_end)
        schedule = Schedule.between(first, last, interpolation)
        return io.NodeOutput(schedule if prev_schedule is None else prev_schedule.then(schedule))
