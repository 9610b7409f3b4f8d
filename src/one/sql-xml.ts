/**
 * Puts XML together inside SQLite: the literal parts of the template string are XML, the interpolated ones are SQL
 * expressions. So a pool is one string that comes off the event loop's back, and a state change rewrites no XML.
 *
 *     sqlXml`<ZONE><ID>${"id"}</ID><NAME>${xmlText("name")}</NAME></ZONE>`
 *
 * Only names of columns and expressions that stand in this source go in, never a caller's text.
 */
export function sqlXml(literals: TemplateStringsArray, ...expressions: readonly string[]): string {
  const parts = literals.raw.flatMap((literal, index) => {
    const expression = expressions[index];
    return [
      ...(literal === "" ? [] : [`'${literal.replaceAll("'", "''")}'`]),
      ...(expression === undefined ? [] : [expression]),
    ];
  });
  return `concat(${parts.join(",")})`;
}

/** A column as XML character data. */
export function xmlText(column: string): string {
  return `replace(replace(replace(${column},'&','&amp;'),'<','&lt;'),'>','&gt;')`;
}

/** A column as a CDATA section. */
export function xmlCdata(column: string): string {
  return `concat('<![CDATA[',replace(${column},']]>',']]]]><![CDATA[>'),']]>')`;
}

/** `<ID>…</ID>` of every row that `select` gives in its one column `id`, ascending. */
export function xmlIds(select: string): string {
  return `coalesce((SELECT group_concat('<ID>'||id||'</ID>','' ORDER BY id) FROM (${select})),'')`;
}

/** PERMISSIONS of a table with the column `permissions`: nine bits, owner use first. */
export function xmlPermissions(table: string): string {
  const bit = (shift: number): string => `(${table}.permissions>>${shift})&1`;
  return sqlXml`<PERMISSIONS><OWNER_U>${bit(8)}</OWNER_U><OWNER_M>${bit(7)}</OWNER_M><OWNER_A>${bit(6)}</OWNER_A><GROUP_U>${bit(5)}</GROUP_U><GROUP_M>${bit(4)}</GROUP_M><GROUP_A>${bit(3)}</GROUP_A><OTHER_U>${bit(2)}</OTHER_U><OTHER_M>${bit(1)}</OTHER_M><OTHER_A>${bit(0)}</OTHER_A></PERMISSIONS>`;
}

/** UID, GID, UNAME and GNAME of a table with these columns. */
export function xmlOwner(table: string): string {
  return sqlXml`<UID>${`${table}.uid`}</UID><GID>${`${table}.gid`}</GID><UNAME>${xmlText(`${table}.uname`)}</UNAME><GNAME>${xmlText(`${table}.gname`)}</GNAME>`;
}

/**
 * The elements of a pool, one a row in the column `xml`, newest first; `where` may use `?`. Rows, not one aggregated
 * string: measured, SQLite's ordered group_concat sorts the finished strings and takes twice as long.
 */
export function poolXml(table: string, xml: string, where = "1"): string {
  return `SELECT ${xml} AS xml FROM ${table} WHERE ${where} ORDER BY ${table}.id DESC`;
}
