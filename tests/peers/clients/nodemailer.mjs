// Sends letters with Nodemailer: nodemailer.mjs LIBRARY CA-FILE, and a table on standard input (programs.py).
import fs from "node:fs";

const [library, caFile] = process.argv.slice(2);
const nodemailer = (await import(library)).default;

for (const line of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const [port, tls, mechanism, user, pass, localAddress, from, to, letter] = line.split("\t");
  const transport = nodemailer.createTransport({
    host: "127.0.0.1",
    port: Number(port),
    localAddress,
    secure: tls === "implicit",
    requireTLS: tls === "starttls",
    ignoreTLS: tls === "none",
    tls: { ca: fs.readFileSync(caFile), servername: "localhost" },
    authMethod: mechanism || undefined,
    auth: mechanism ? { user, pass } : undefined,
  });
  await transport.sendMail({ envelope: { from, to }, raw: fs.readFileSync(letter) });
  transport.close();
}
