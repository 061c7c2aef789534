"""Who watches a server hears of a cause before its effects."""

from jobrunner.core.news import News
from jobrunner.service.telling import Telling


def test_what_led_to_a_run_is_told_before_it() -> None:
    heard: list[str] = []
    waiting = [News(1.0, "event", "published", "matched")]
    telling = Telling(lambda news: heard.append(news.what))

    def look() -> None:
        while waiting:
            telling(waiting.pop())

    telling.first(look)
    telling(News(2.0, "run", "report-abcde", "started"))
    telling(News(3.0, "run", "report-abcde", "succeeded"))
    assert heard == ["event", "run", "run"]


def test_nothing_is_looked_for_before_what_no_event_has_caused() -> None:
    asked: list[str] = []
    telling = Telling(lambda news: None)
    telling.first(lambda: asked.append("look"))
    telling(News(1.0, "file", "Job report", "created"))
    assert asked == []
