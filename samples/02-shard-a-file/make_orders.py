"""Writes orders.csv and, from the same numbers, the known answer expected.csv.

Always the same 100,000 orders: only `Random.random` is used, whose sequence Python keeps the same
from version to version. Run it once; both files are committed.
"""

import csv
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from random import Random

ORDERS = 100_000
FIRST_DAY = date(2024, 1, 1)
DAYS = 366
# Names with a comma and with letters of two bytes: a cut in the wrong place would show.
COUNTRIES = [
    "Austria", "Brazil", "Canada", "Côte d'Ivoire", "Germany", "India", "Italy", "Japan",
    "Korea, Republic of", "Mexico", "Spain", "Türkiye",
]  # fmt: skip
HERE = Path(__file__).parent


def main() -> None:
    random = Random(20240101).random
    orders: Counter[str] = Counter()
    cents: Counter[str] = Counter()
    with (HERE / "orders.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["id", "date", "country", "amount"])
        for number in range(1, ORDERS + 1):
            day = FIRST_DAY + timedelta(days=int(random() * DAYS))
            # The square makes the first countries common and the last ones rare.
            country = COUNTRIES[int(random() ** 2 * len(COUNTRIES))]
            amount = 100 + int(random() ** 3 * 99_900)
            out.writerow([number, day, country, f"{amount // 100}.{amount % 100:02d}"])
            orders[country] += 1
            cents[country] += amount
    with (HERE / "expected.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["country", "orders", "amount"])
        for country in sorted(orders):
            amount = cents[country]
            out.writerow([country, orders[country], f"{amount // 100}.{amount % 100:02d}"])


if __name__ == "__main__":
    main()
