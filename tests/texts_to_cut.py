"""Texts that a tokenizer may cut wrongly: blanks, line ends, scripts, names of control tokens."""

TEXTS = [
    "",
    " ",
    "\n",
    "Hello world, the question is good.",
    "  two  spaces and an end ",
    "a\n\nb\tc\r\n",
    "Grüße aus Köln 🎉🚀 日本語 ภาษาไทย \u200b é",
    "don't we'll I'M they'RE 12345 6.78 ½ Ⅻ",
    "</s><s> <unk> <0x0A> USER: hi ASSISTANT: yes</s>",
    "<|im_start|>user\nyes<|im_end|>",
    "</s <s s> <|im_ start|>",
    "\u2581x \u2581\u2581 y",
    "\x00\x01 z\x7f",
    "    def f(x):\n        return x",
    "\u3000full\u00a0width",
    "x" * 300,
    "the the the of and to",
    "aWord camelCase HTTPServer McDonald it'S I'M a/b//c\n/d !!/\n ÄrgerÜber ПриветМир",
]
