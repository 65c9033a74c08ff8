// Exports one trace with OpenTelemetry's SDK for JavaScript, and prints its id and the exporter's error, if any.
// Arguments: the protocol (json, protobuf or grpc), the compression (none or gzip), the endpoint, the experiment.
const [protocol, compression, url, experiment] = process.argv.slice(2);

const { SpanKind, SpanStatusCode, context, trace } = require("@opentelemetry/api");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { NodeTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-node");
const { Metadata } = require("@grpc/grpc-js");
const exporters = {
  json: "@opentelemetry/exporter-trace-otlp-http",
  protobuf: "@opentelemetry/exporter-trace-otlp-proto",
  grpc: "@opentelemetry/exporter-trace-otlp-grpc",
};
const { OTLPTraceExporter } = require(exporters[protocol]);

const names = { "x-mlflow-experiment-id": experiment };
if (process.env.MLFLOW_WORKSPACE) names["x-mlflow-workspace"] = process.env.MLFLOW_WORKSPACE;
const metadata = new Metadata();
for (const [name, value] of Object.entries(names)) metadata.set(name, value);
const headers = protocol === "grpc" ? { metadata } : { headers: names };
const exporter = new OTLPTraceExporter({ url, compression, timeoutMillis: 30000, ...headers });

// The processor only logs what the exporter says.
const outcomes = [];
const told = {
  export: (spans, done) =>
    exporter.export(spans, (result) => {
      outcomes.push(result);
      done(result);
    }),
  forceFlush: () => exporter.forceFlush(),
  shutdown: () => exporter.shutdown(),
};
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "weather" }),
  spanProcessors: [new SimpleSpanProcessor(told)],
});
provider.register();

const tracer = provider.getTracer("stories");
const root = tracer.startSpan("request", { attributes: { question: "wie wird das Wetter? ☂", count: 3, ratio: 0.5 } });
const child = tracer.startSpan(
  "chat small-model",
  {
    kind: SpanKind.CLIENT,
    attributes: {
      "gen_ai.operation.name": "chat",
      "gen_ai.request.model": "small-model",
      "gen_ai.usage.input_tokens": 30,
      "gen_ai.usage.output_tokens": 12,
      words: ["sun", "rain"],
    },
  },
  trace.setSpan(context.active(), root),
);
child.addEvent("token", { text: "rain" });
child.recordException(new Error("out of clouds"));
child.setStatus({ code: SpanStatusCode.ERROR, message: "out of clouds" });
child.end();
root.end();

provider
  .forceFlush()
  .then(() => provider.shutdown())
  .catch(() => {})
  .finally(() => {
    const error = outcomes.map((result) => result.error?.message).find(Boolean);
    console.log(JSON.stringify({ trace: root.spanContext().traceId, exports: outcomes.length, error: error ?? null }));
  });
