"""The keywords, functions, types and node classes that users' SQL may have; all others are refused.

The lists hold the names of PostgreSQL and of SQLite; each database accepts its own. Source: docs/reference/sql.md.
"""

# Keywords that an opening bracket may follow.
_KEYWORDS = """
in values and or not as on exists over filter using check key unique from where when then else case union all any some
by having set returning join lateral materialized group limit offset between like ilike is distinct default except
intersect within rollup cube sets row select conflict identity
"""
# Types with a length or precision in brackets.
_TYPES = "numeric decimal varchar char character varying timestamp timestamptz time"
# Functions, by topic: aggregates and numbers, texts, times, window functions, JSON.
_FUNCTIONS = """
count sum min max avg total abs round sign floor ceil ceiling trunc mod sqrt coalesce nullif ifnull iif greatest least
lower upper length char_length trim ltrim rtrim btrim substr substring replace instr strpos position split_part
starts_with concat concat_ws cast typeof hex unicode
date time datetime julianday unixepoch strftime now date_trunc date_part extract age to_char to_timestamp to_date
row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
group_concat string_agg array_agg bool_and bool_or every stddev stddev_pop stddev_samp variance var_pop var_samp
percentile_cont percentile_disc mode
json json_valid json_type json_extract json_array json_object json_array_length json_set json_insert json_replace
json_remove json_patch json_group_array json_group_object json_each json_tree json_quote
json_agg jsonb_agg json_object_agg jsonb_object_agg to_json to_jsonb row_to_json json_build_object json_build_array
jsonb_build_object jsonb_build_array jsonb_set jsonb_strip_nulls jsonb_typeof json_typeof jsonb_array_length
json_extract_path json_extract_path_text jsonb_extract_path jsonb_extract_path_text
json_each_text jsonb_each jsonb_each_text json_array_elements json_array_elements_text jsonb_array_elements
jsonb_array_elements_text json_object_keys jsonb_object_keys
"""
# Every name that an opening bracket may follow.
BEFORE_BRACKET = frozenset((_KEYWORDS + _TYPES + _FUNCTIONS).split())
FUNCTIONS = frozenset(_FUNCTIONS.split())
# Calls without brackets: they return names of the server or its users.
_FORBIDDEN = "current_user session_user current_role current_catalog current_schema system_user user"
FORBIDDEN_NAMES = frozenset(_FORBIDDEN.split())
# Types of columns and casts, by the names of sqlglot.
_COLUMN_TYPES = """
TEXT VARCHAR CHAR NVARCHAR NCHAR BPCHAR INT INTEGER SMALLINT TINYINT BIGINT UINT DECIMAL BIGDECIMAL FLOAT DOUBLE
REAL BOOLEAN JSON JSONB DATE TIME TIMESTAMP TIMESTAMPTZ TIMESTAMPLTZ TIMESTAMPNTZ DATETIME UUID
VARBINARY BINARY BLOB SERIAL BIGSERIAL
SMALLSERIAL INTERVAL
"""
COLUMN_TYPES = frozenset(_COLUMN_TYPES.split())

# Node classes of sqlglot that a SELECT may have, besides all functions and operators.
QUERY_NODES = """
Select Union Except Intersect Subquery Table Column Identifier Literal Star From Join Where Group Having Order Ordered
Limit Offset Fetch LimitOptions With CTE TableAlias Alias Paren Not Neg Between In Is Null Boolean DataType
DataTypeParam Window WindowSpec Filter WithinGroup Placeholder Var Tuple Values Distinct Lateral Rollup Cube
GroupingSets JSONPath JSONPathKey JSONPathRoot JSONPathSubscript Escape Collate Dot Interval AtTimeZone Any All
"""
# For INSERT, UPDATE and DELETE. Without RETURNING: its rows would be read and thrown away.
WRITE_NODES = QUERY_NODES + "Insert OnConflict Schema Update Delete"
# For CREATE TABLE and CREATE INDEX.
TABLE_NODES = """
Create Schema Table Identifier ColumnDef ColumnConstraint DataType DataTypeParam PrimaryKeyColumnConstraint PrimaryKey
NotNullColumnConstraint UniqueColumnConstraint CheckColumnConstraint DefaultColumnConstraint CollateColumnConstraint
AutoIncrementColumnConstraint GeneratedAsIdentityColumnConstraint Constraint Column Literal Null Boolean Not Neg Paren
In Is Between Tuple Index IndexParameters Ordered Where Var Opclass Escape
"""
