export const base = process.env.GATEWAY_URL;
export const key = process.env.GATEWAY_KEY;
export const report = (said) => process.stdout.write(JSON.stringify(said) + "\n");
