import { readFileSync } from "node:fs";
import { architectureNamed } from "./architecture.ts";
import type { Package } from "./packages.ts";
import type { Description } from "./slot.ts";

interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

interface LockedPackage {
  readonly version?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly link?: boolean;
}

interface Component {
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly license: string;
  readonly sha256?: string;
}

/** What is in an image, as SPDX 2.3 JSON (spdx.github.io/spdx-spec/v2.3): the Debian packages and the npm ones. */
export function billOfMaterials(repository: string, description: Description, packages: readonly Package[]): string {
  const { version, build, builtAt, architecture } = description;
  const components = [...packages.map(debianComponent), ...npmComponents(repository, architecture)];
  const root = "SPDXRef-ringfence";
  const ids = components.map((_, index) => `SPDXRef-${index + 1}`);
  const document = {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `ringfence-${version}-${architecture}`,
    documentNamespace: `https://spdx.org/spdxdocs/ringfence-${version}-${architecture}-${build}`,
    creationInfo: {
      created: new Date(builtAt * 1000).toISOString().replace(".000", ""),
      creators: ["Tool: ringfence-appliance"],
    },
    packages: [
      spdxPackage(root, {
        name: "ringfence",
        version,
        purl: `pkg:generic/ringfence@${version}`,
        license: "Apache-2.0",
      }),
      ...components.map((component, index) => spdxPackage(ids[index] ?? "", component)),
    ],
    relationships: [
      { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: root },
      ...ids.map((id) => ({ spdxElementId: root, relationshipType: "CONTAINS", relatedSpdxElement: id })),
    ],
  };
  return `${JSON.stringify(document, null, 1)}\n`;
}

/** The same in a line each, for people: name, version, sum. */
export function versionManifest(description: Description, packages: readonly Package[], repository: string): string {
  return [
    `ringfence ${description.version} ${description.build}`,
    ...packages.map(({ name, version, sha256 }) => `debian ${name} ${version} sha256:${sha256}`),
    ...npmComponents(repository, description.architecture).map(({ name, version }) => `npm ${name} ${version}`),
    "",
  ].join("\n");
}

function debianComponent({ name, version, sha256 }: Package): Component {
  return {
    name,
    version,
    sha256,
    purl: `pkg:deb/debian/${name}@${encodeURIComponent(version)}`,
    license: "NOASSERTION",
  };
}

function npmComponents(repository: string, architecture: string): readonly Component[] {
  // On an image, although it is for developers elsewhere.
  const interpreter = ["bun", architectureNamed(architecture).bunPackage].map((name) => `node_modules/${name}`);
  const lock = JSON.parse(readFileSync(`${repository}/package-lock.json`, "utf8")) as Lock;
  return Object.entries(lock.packages)
    .filter(
      ([path, { dev, link }]) =>
        path.startsWith("node_modules/") && link !== true && (dev !== true || interpreter.includes(path)),
    )
    .map(([path, { version = "", license = "NOASSERTION" }]) => {
      const name = path.replace(/^.*node_modules\//, "");
      return { name, version, license, purl: `pkg:npm/${name.replace("@", "%40")}@${version}` };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function spdxPackage(id: string, { name, version, purl, license, sha256 }: Component): object {
  return {
    SPDXID: id,
    name,
    versionInfo: version,
    downloadLocation: "NOASSERTION",
    licenseConcluded: "NOASSERTION",
    licenseDeclared: license,
    copyrightText: "NOASSERTION",
    filesAnalyzed: false,
    externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl }],
    ...(sha256 === undefined ? {} : { checksums: [{ algorithm: "SHA256", checksumValue: sha256 }] }),
  };
}
