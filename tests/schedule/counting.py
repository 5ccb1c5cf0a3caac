"""A trigger that says how much was asked of it."""

from apscheduler.triggers.base import BaseTrigger


class Counting(BaseTrigger):
    """Answers as another trigger does, and counts the questions.

    Args:
        trigger: which.
    """

    def __init__(self, trigger):
        self.trigger, self.asked = trigger, 0

    def get_next_fire_time(self, previous, now):
        self.asked += 1
        return self.trigger.get_next_fire_time(previous, now)
