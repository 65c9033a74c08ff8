"""Autologging of calls of language models: an agent of OpenAI's client, whose model is a stub on this machine."""

import asyncio
import http.server
import json
import threading

import mlflow
import openai
import pytest

pytestmark = pytest.mark.since(3, 17)

TOOLS = [{"type": "function", "function": {"name": "degrees", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


def completion(body: dict) -> dict:
    """What the model answers: it asks for the tool, and then repeats what the tool said."""
    last = body["messages"][-1]
    message = {"role": "assistant", "content": f"It has {last['content']} degrees."}
    if last["role"] == "user" and body.get("tools"):
        call = {"id": "call-1", "type": "function", "function": {"name": "degrees", "arguments": '{"city": "Köln"}'}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_760_000_000, "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
    }  # fmt: skip


class Model(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["messages"][-1]["content"] == "fail":
            return self.answer(429, "application/json", json.dumps({"error": {"message": "too many", "code": "rate_limit"}}))
        if not body.get("stream"):
            return self.answer(200, "application/json", json.dumps(completion(body)))
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_760_000_000, "model": body["model"]}
        deltas = [{"role": "assistant", "content": "Hel"}, {"content": "lo"}]
        chunks = [chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        text = "".join(f"data: {json.dumps(sent)}\n\n" for sent in chunks) + "data: [DONE]\n\n"
        return self.answer(200, "text/event-stream", text)

    def answer(self, status: int, kind: str, text: str):
        content = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def model():
    """The address of the stub. Calls of the client are traced while it runs."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mlflow.openai.autolog()
    yield {"base_url": f"http://127.0.0.1:{server.server_port}/v1", "api_key": "stub", "max_retries": 0}
    mlflow.openai.autolog(disable=True)
    server.shutdown()
    server.server_close()


def only(client, experiment):
    (trace,) = client.search_traces(locations=[experiment])
    return trace


def test_an_agent_with_a_tool_is_one_trace(client, experiment, model):
    llm = openai.OpenAI(**model)

    @mlflow.trace(span_type="TOOL")
    def degrees(city: str) -> str:
        return "21"

    @mlflow.trace(span_type="AGENT")
    def agent(question: str) -> str:
        messages = [{"role": "user", "content": question}]
        asked = llm.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS).choices[0].message
        (call,) = asked.tool_calls
        result = degrees(**json.loads(call.function.arguments))
        messages += [asked.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": result}]
        return llm.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS).choices[0].message.content

    assert agent("How warm is it?") == "It has 21 degrees."
    trace = only(client, experiment)
    assert [span.span_type for span in trace.data.spans] == ["AGENT", "CHAT_MODEL", "TOOL", "CHAT_MODEL"]
    assert trace.data.spans[2].inputs == {"city": "Köln"}
    assert {key: trace.info.token_usage[key] for key in ("input_tokens", "output_tokens", "total_tokens")} == {
        "input_tokens": 40,
        "output_tokens": 10,
        "total_tokens": 50,
    }
    found = client.search_traces(locations=[experiment], filter_string="span.type = 'TOOL' AND span.name = 'degrees'")
    assert [trace.info.trace_id for trace in found] == [trace.info.trace_id]


def test_a_streamed_answer_is_put_together(client, experiment, model):
    chunks = openai.OpenAI(**model).chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "greet"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"
    (span,) = only(client, experiment).data.spans
    assert "Hello" in json.dumps(span.outputs)


def test_calls_of_coroutines_are_traces_of_their_own(client, experiment, model):
    async def ask(llm, number: int):
        return await llm.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": str(number)}])

    async def all_of_them():
        llm = openai.AsyncOpenAI(**model)
        return await asyncio.gather(*(ask(llm, number) for number in range(6)))

    assert len(asyncio.run(all_of_them())) == 6
    traces = client.search_traces(locations=[experiment])
    assert sorted(trace.data.spans[0].inputs["messages"][0]["content"] for trace in traces) == list("012345")


def test_a_model_that_refuses_is_a_failed_trace(client, experiment, model):
    with pytest.raises(openai.RateLimitError):
        openai.OpenAI(**model).chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "fail"}])
    trace = only(client, experiment)
    assert trace.info.state == "ERROR"
    assert [event.name for event in trace.data.spans[0].events] == ["exception"]
