"""The books of ``recipes/readers.toml``: four authors out of a larger file, whose texts are in the public domain.

python tools/make_readers.py books_by_author.parquet recipes/readers.parquet
"""

import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

AUTHORS = ["austen", "milton", "twain", "whitman"]
COLUMNS = ["author", "title", "chapter", "split", "text"]


def main(books: str, out: str) -> None:
    table = pq.read_table(books, columns=COLUMNS)
    wanted = table.filter(pc.is_in(table["author"], pa.array(AUTHORS, table["author"].type)))
    pq.write_table(wanted.replace_schema_metadata(None), out, compression="zstd", compression_level=19)
    print(f"{out}: {len(wanted):,} passages of {', '.join(AUTHORS)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
