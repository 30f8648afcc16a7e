"""What a run of a pipeline made: paths, images, times, what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Report:
    """What a run made.

    Attributes
    ----------
    made : dict
        Paths by what they hold.
    n_images : int
        Images counted.
    left_out : list of dict
        ``image`` and ``reason`` of those that were not.
    seconds : dict
        Time of each stage.
    """

    made: dict[str, str] = field(default_factory=dict)
    n_images: int = 0
    left_out: list[dict[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 when every image is in the result, 3 when some were left out."""
        return 3 if self.left_out else 0
