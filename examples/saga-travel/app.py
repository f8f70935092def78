"""A trip is three bookings at three companies. When one fails, the previous ones are cancelled.

Run it with `ironflow dev app.py`, then request a trip: `ironflow emit trip.requested --data '{...}' --wait`.
"""

import hashlib

import msgspec

from ironflow import Context, NonRetryableError, Retry, function


class Trip(msgspec.Struct):
    """The request of a traveller."""

    id: str
    traveller: str
    city: str
    nights: int


class NotAvailable(NonRetryableError):
    """The company has no offer for this trip. A retry would not help."""

    code = "NOT_AVAILABLE"


@function("book-trip", on="trip.requested", retry=Retry(max_attempts=3, initial_delay="200ms"))
async def book_trip(ctx: Context, trip: Trip) -> dict[str, str]:
    """Books flight, hotel and car. Each booking registers its compensation, for a final failure of a later one."""
    flight = await ctx.step.run("flight", book_flight, trip)
    ctx.step.compensate("flight", lambda: cancel("airline", flight))

    hotel = await ctx.step.run("hotel", book_hotel, trip)
    ctx.step.compensate("hotel", lambda: cancel("hotel", hotel))

    car = await ctx.step.run("car", book_car, trip)
    ctx.step.compensate("car", lambda: cancel("car rental", car))

    return {"flight": flight, "hotel": hotel, "car": car}


# The client libraries of three companies. A reference derived from the trip's id is the same when a step runs again
# after a crash, like an idempotency key.


async def book_flight(trip: Trip) -> str:
    return _reference("FL", trip)


async def book_hotel(trip: Trip) -> str:
    if trip.nights > 30:
        raise NotAvailable(f"the hotel is booked out for {trip.nights} nights")
    return _reference("HT", trip)


async def book_car(trip: Trip) -> str:
    if trip.city == "Venice":
        raise NotAvailable("there are no cars in Venice")
    return _reference("CR", trip)


async def cancel(company: str, reference: str) -> str:
    return f"{company} cancelled {reference}"


def _reference(prefix: str, trip: Trip) -> str:
    return f"{prefix}-{hashlib.sha256(f'{prefix}{trip.id}'.encode()).hexdigest()[:8].upper()}"


functions = [book_trip]
