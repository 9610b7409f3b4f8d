import type { XmlElement } from "../one/xml.ts";
import { textAt } from "./document.ts";

const SIZE_UNITS = ["K", "M", "G", "T", "P"] as const;

/** `512M`, `10.7G`, as OpenNebula's commands shorten it: base 1024, one decimal, not before a unit is full. */
export function formatSize(value: number, unit: "K" | "M" = "K"): string {
  let index: number = SIZE_UNITS.indexOf(unit);
  let rest = value;
  for (; rest > 1024 && index < SIZE_UNITS.length - 1; index++) rest /= 1024;
  return `${Math.round(rest * 10) / 10}${SIZE_UNITS[index]}`;
}

/** `11/20 09:17:33`, local time; `-` for 0. */
export function formatTime(seconds: number): string {
  if (seconds === 0) return "-";
  const date = new Date(seconds * 1000);
  return `${two(date.getMonth() + 1)}/${two(date.getDate())} ${clock(date)}`;
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** `Fri Nov 20 09:18:07 2026`, local time. */
export function formatDate(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = String(date.getDate()).padStart(2);
  return `${DAYS[date.getDay()]} ${MONTHS[date.getMonth()]} ${day} ${clock(date)} ${date.getFullYear()}`;
}

/** `  0d 00h05m`: how long something has gone on. */
export function formatDuration(seconds: number, dayWidth = 3): string {
  const minutes = Math.floor(Math.max(0, seconds) / 60);
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24];
  return `${String(days).padStart(dayWidth)}d ${two(hours)}h${two(minutes % 60)}m`;
}

/** `0h05m12s`. */
export function formatShortDuration(seconds: number): string {
  const whole = Math.floor(Math.max(0, seconds));
  return `${Math.floor(whole / 3600)}h${two(Math.floor(whole / 60) % 60)}m${two(whole % 60)}s`;
}

/** `um-` of OWNER, GROUP or OTHER. */
export function formatPermissions(element: XmlElement, whose: "OWNER" | "GROUP" | "OTHER"): string {
  return ["U", "M", "A"]
    .map((right) => (textAt(element, `PERMISSIONS/${whose}_${right}`) === "1" ? right.toLowerCase() : "-"))
    .join("");
}

/** `Yes` or `No` of OpenNebula's 1 and 0. */
export function yesNo(value: string): string {
  return value === "1" ? "Yes" : "No";
}

/** Attributes in OpenNebula's template syntax, in the order of the document, without those named. */
export function templateLines(template: XmlElement | undefined, without: readonly string[] = []): readonly string[] {
  return (template?.children ?? [])
    .filter((attribute) => !without.includes(attribute.name))
    .map(({ name, text, children }) =>
      children.length === 0
        ? `${name}=${quoted(text)}`
        : `${name}=[\n${children.map((part) => `  ${part.name}=${quoted(part.text)}`).join(",\n")} ]`,
    );
}

/** A value in OpenNebula's template syntax. */
export function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

function clock(date: Date): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
