const child = Bun.spawn([process.execPath, `${import.meta.dir}/main.ts`], { stdout: "inherit", stderr: "inherit" });
process.exit(await child.exited);
