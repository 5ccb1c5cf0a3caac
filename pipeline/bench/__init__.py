"""The race of the kernels: how fast (y, J, D) can be had, by us and by what others would write.

`subject.py` says what a network of the race is; `zoo.py` lists them, built in `dense.py` and
`structured.py`; `rivals.py` has the contestants, `race.py` times them in turn on one network and
checks their numbers, `peak.py` says what the machine could do at most, `report.py` makes tables and
JSON, and `picture.py` draws. `plain_ray_data.py` is the rival of the whole job; it is not imported
here, since it needs more packages.
"""

from .peak import dense_multiply_adds, matmul_peak
from .picture import draw
from .race import Result, run_race
from .report import assemble, print_report
from .rivals import OURS, RIVALS, YARDSTICK, Rival, choose_rivals
from .subject import Subject
from .zoo import SUBJECTS, choose_subjects

__all__ = [
    "OURS",
    "RIVALS",
    "SUBJECTS",
    "YARDSTICK",
    "Result",
    "Rival",
    "Subject",
    "assemble",
    "choose_rivals",
    "choose_subjects",
    "dense_multiply_adds",
    "draw",
    "matmul_peak",
    "print_report",
    "run_race",
]
