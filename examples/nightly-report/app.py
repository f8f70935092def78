"""A report of yesterday's sales, every night at two in Berlin. The handler is a plain function, as are its steps.

Run it with `ironflow dev app.py`. For a report now: `ironflow invoke nightly-report`.
"""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ironflow import SyncContext, function

BERLIN = ZoneInfo("Europe/Berlin")


@function("nightly-report", cron="0 2 * * *", tz="Europe/Berlin")
def nightly_report(ctx: SyncContext) -> dict[str, Any]:
    """Adds up the sales of the day before, and mails them."""
    # When the server was down at two, the tick is late: the due time determines the day.
    tick = ctx.event.data or {}
    due = datetime.fromisoformat(tick["scheduledAt"]) if "scheduledAt" in tick else ctx.event.timestamp
    day = (due.astimezone(BERLIN) - timedelta(days=1)).date().isoformat()

    sales = ctx.step.run("query sales", query_sales, day)
    page = ctx.step.run("render", render, day, sales)
    ctx.step.run("mail", send_mail, "sales@example.com", f"Sales of {day}", page)
    return {"day": day, "total": sum(sales.values())}


def query_sales(day: str) -> dict[str, int]:
    """Cents by product: a slow query of the warehouse."""
    number = date.fromisoformat(day).toordinal()
    return {"chairs": 12_900 * (number % 7), "tables": 39_900 * (number % 3), "lamps": 5_900 * (number % 11)}


def render(day: str, sales: dict[str, int]) -> str:
    lines = [f"{product:<8}{cents / 100:>10.2f}" for product, cents in sales.items()]
    return "\n".join([f"Sales of {day}", *lines, f"{'total':<8}{sum(sales.values()) / 100:>10.2f}"])


def send_mail(to: str, subject: str, text: str) -> str:
    """Sends the text to a mail server; returns the message's id."""
    return f"<{subject.lower().replace(' ', '-')}@{to.partition('@')[2]}>"


functions = [nightly_report]
