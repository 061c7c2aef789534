"""Rules about labels and annotations."""

from __future__ import annotations

from collections.abc import Mapping

from jobrunner.core.limits import MAX_ANNOTATIONS, MAX_LABELS
from jobrunner.core.names import annotation_key_problem, label_key_problem, label_value_problem
from jobrunner.core.nearest import nearest
from jobrunner.core.options import PREFIX, unknown_options
from jobrunner.core.problems import Problems
from jobrunner.core.records import HIDDEN_LABEL

GOOGLE_NAMESPACES = (
    "run.googleapis.com/",
    "cloud.googleapis.com/",
    "serving.knative.dev/",
    "autoscaling.knative.dev/",
)


def check_labels(problems: Problems, field: str, labels: Mapping[str, str]) -> None:
    if len(labels) > MAX_LABELS:
        problems.add(field, f"{len(labels)} labels are too many; allowed: at most {MAX_LABELS}")
    for key, value in labels.items():
        where = f"{field}[{key}]"
        if key.startswith(GOOGLE_NAMESPACES):
            problems.add(where, f"labels under {key.split('/')[0]}/ are set by the system")
        elif key.startswith(PREFIX) and key != HIDDEN_LABEL:
            problems.add(where, f"'{key}' is not a label; options of jobrunner are annotations")
        elif problems.check(where, label_key_problem(key)):
            problems.check(where, label_value_problem(key, value))


def check_annotations(
    problems: Problems, field: str, annotations: Mapping[str, str], known: tuple[str, ...]
) -> None:
    """``known`` are the keys under Google's namespaces that this kind of resource has."""
    if not annotations:
        return
    size = sum(
        len(text.encode("utf-8", "surrogatepass")) for pair in annotations.items() for text in pair
    )
    if size > MAX_ANNOTATIONS:
        problems.add(field, f"they hold {size} bytes; allowed: at most {MAX_ANNOTATIONS}")
    problems.violations += unknown_options(annotations, field)
    for key in annotations:
        where = f"{field}[{key}]"
        if key.startswith(GOOGLE_NAMESPACES):
            if key not in known:
                from jobrunner.core.fields import annotation_keys

                guess = nearest(key, annotation_keys(field))
                problems.add(
                    where,
                    f"'{key}' is not an annotation of this part of a job"
                    + (f"; did you mean '{guess}'?" if guess else ""),
                )
        else:
            problems.check(where, annotation_key_problem(key))
