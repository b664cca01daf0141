"""The inputs and outputs of the job types: what clients see as JSON Schema."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from coatcheck import Upload

GIB = 1024**3
MEDIA_TYPE = (
    r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
    r"(; ?[A-Za-z0-9-]{1,40}=[A-Za-z0-9._-]{1,80}){0,4}$"
)


class Strict(BaseModel):
    """Refuses fields it does not know and values of another JSON type than its schema says."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


TableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
TableFormat = Literal["csv", "json", "parquet"]


class CsvOptions(Strict):
    """How a CSV file is written. What is left out is found out, or is as in RFC 4180."""

    delimiter: str | None = Field(
        default=None,
        pattern=r'^[^\r\n\x00"]$',
        description=(
            "one character between two fields; by default the one of comma, semicolon, tab and | that splits the "
            "first row, and most rows like it"
        ),
        examples=[";"],
    )
    quote: Literal['"', "'", ""] = Field(
        default='"', description="what stands around a field that holds delimiters or line ends; empty: nothing does"
    )
    escape: Literal["double", "backslash"] = Field(
        default="double", description="how a quote inside quotes is written: doubled, or after a backslash"
    )
    header: bool | None = Field(
        default=None, description="whether the first row names the columns; by default it is judged by its looks"
    )
    encoding: Literal["utf-8", "utf-16", "latin-1", "windows-1252"] = Field(
        default="utf-8",
        description="what the bytes mean; utf-16 goes by its byte order mark, and is little-endian without one",
    )
    nulls: list[Annotated[str, StringConstraints(max_length=100)]] = Field(
        default_factory=lambda: [""],
        min_length=1,
        max_length=20,
        description="the fields that mean NULL, exactly as they are written",
        examples=[["", "NA", "-"]],
    )
    types: Literal["detect", "text"] = Field(
        default="detect", description="text: every column is text, so that 007 stays 007"
    )

    @model_validator(mode="after")
    def _delimiter_is_no_quote(self) -> Self:
        if self.delimiter is not None and self.delimiter == self.quote:
            raise ValueError("delimiter and quote must differ")
        if self.delimiter == "\\" and self.escape == "backslash":
            raise ValueError("delimiter and escape must differ")
        return self


class TableQuery(Strict):
    """One SQL query over uploaded tables."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sql": "SELECT carrier, count(*) AS flights FROM flights GROUP BY carrier ORDER BY flights DESC",
                    "tables": {"flights": {"$upload": "upl_9Jt2yq"}},
                    "format": "csv",
                }
            ]
        }
    )

    sql: str = Field(
        min_length=1,
        max_length=100_000,
        description="one SELECT-like statement in DuckDB's SQL (SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE)",
        examples=["SELECT origin, avg(distance) FROM flights GROUP BY origin"],
    )
    tables: dict[TableName, Upload] = Field(
        default_factory=dict,
        max_length=20,
        description="the CSV or Parquet files to query, by the table name the SQL uses (a plain identifier)",
        examples=[{"flights": {"$upload": "upl_9Jt2yq"}}],
    )
    csv: dict[TableName, CsvOptions] = Field(
        default_factory=dict,
        max_length=20,
        description="how tables that are CSV files are to be read, by the table's name, where the defaults do not suit",
        examples=[{"flights": {"delimiter": ";", "encoding": "latin-1", "nulls": ["", "NA"]}}],
    )
    format: TableFormat = Field(default="csv", description="what the result is written as")

    @model_validator(mode="after")
    def _csv_is_of_tables(self) -> Self:
        if unknown := self.csv.keys() - self.tables.keys():
            raise ValueError(f"csv names tables that are not given: {', '.join(sorted(unknown))}")
        return self

    @model_validator(mode="after")
    def _names_differ_in_more_than_case(self) -> Self:
        if len({name.lower() for name in self.tables}) < len(self.tables):
            raise ValueError("table names must differ in more than upper and lower case, which SQL does not tell apart")
        return self


class Images(Strict):
    """Photographs to make small."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"images": [{"$upload": "upl_7hQx1a"}, {"$upload": "upl_7hQx1b"}], "size": 320}]
        }
    )

    images: list[Upload] = Field(
        min_length=1, max_length=50, description="JPEG, PNG, WebP, GIF, TIFF or BMP files of at most 64 megapixels"
    )
    size: int = Field(
        default=256, ge=16, le=1024, description="width and height, in pixels, of the square each thumbnail fits in"
    )


class Thumbnail(Strict):
    """One thumbnail among the artifacts."""

    artifact: str = Field(description="the artifact's name", examples=["001.webp"])
    source: int = Field(description="which image of the input it shows, counted from 0")
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")


class Sheet(Strict):
    """What was made, in the order of the input."""

    contact_sheet: str = Field(
        description="the artifact that shows all thumbnails on one page", examples=["contact-sheet.jpg"]
    )
    width: int = Field(description="the contact sheet's, in pixels")
    height: int = Field(description="the contact sheet's, in pixels")
    thumbnails: list[Thumbnail]


Failure = Literal["none", "transient", "permanent", "crash", "memory", "spin"]


class Sleep(Strict):
    """A job that does nothing for a while, and fails if asked to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"seconds": 45, "steps": 45}, {"seconds": 4, "fail": "crash", "fail_attempts": 2}]
        }
    )

    seconds: float = Field(ge=0, le=86_400, description="how long to sleep; the job type's timeout applies")
    steps: int = Field(default=10, ge=1, le=1000, description="progress is reported after each")
    fail: Failure = Field(
        default="none",
        description=(
            "how to fail half way: transient (an error worth another attempt), permanent (rejected), crash (the "
            "process ends), memory (it grows, then ends as if killed for it), spin (it never stops nor looks up)"
        ),
    )
    fail_attempts: int = Field(default=1, ge=1, le=100, description="on how many first attempts the failure happens")


class Slept(Strict):
    """The answer of a sleep that was not disturbed."""

    slept: float = Field(description="seconds")


class Bytes(Strict):
    """A file to be made up."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"size": 52_428_800, "content_type": "application/octet-stream", "seed": 7}]}
    )

    size: int = Field(ge=0, le=6 * GIB, description="bytes of the result, exactly")
    content_type: str = Field(
        default="application/octet-stream", pattern=MEDIA_TYPE, description="the result's media type", max_length=255
    )
    seed: int = Field(default=0, ge=0, le=2**53 - 1, description="the same seed makes the same bytes, everywhere")
