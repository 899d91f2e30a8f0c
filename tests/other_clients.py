"""Mail clients, gateways and ticket systems, imitated: what each makes of a mail that it forwards.

A second imitation, written apart from the one the program ships with, from general knowledge of how such programs
write mail. `forward` takes the octets of a mail and a `Way` and gives the octets of the forwarded mail; it can be
applied to its own result. Beside the octets it keeps which carriers it left whole, so that a test knows what to expect.
"""

import base64
import email
import email.policy
import html as entities
import quopri
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email.header import Header
from email.message import EmailMessage
from random import Random
from typing import Any
from urllib.parse import quote

from lxml import html as parser

Node = Any
_WORDS = """
en|From|Sent|Date|To|Subject|
    Forwarded message|Original Message|Begin forwarded message:|Fwd|
    On {d}, {n} wrote:|Please enter this one today, thanks!
de|Von|Gesendet|Datum|An|Betreff|
    Weitergeleitete Nachricht|Ursprüngliche Nachricht|Anfang der weitergeleiteten Nachricht:|WG|
    Am {d} schrieb {n}:|Bitte heute noch erfassen, danke!
fr|De|Envoyé|Date|À|Objet|
    Message transféré|Message d'origine|Début du message réexpédié :|TR|
    Le {d}, {n} a écrit :|À saisir aujourd’hui : merci !
es|De|Enviado|Fecha|Para|Asunto|
    Mensaje reenviado|Mensaje original|Inicio del mensaje reenviado:|RV|
    El {d}, {n} escribió:|¿Puedes darlo de alta hoy?
ca|De|Enviat|Data|Per a|Assumpte|
    Missatge reenviat|Missatge original|Inici del missatge reenviat:|Fwd|
    El {d}, {n} va escriure:|Entra'l avui, gràcies
it|Da|Inviato|Data|A|Oggetto|
    Messaggio inoltrato|Messaggio originale|Inizio messaggio inoltrato:|I|
    Il giorno {d} {n} ha scritto:|Da inserire oggi, grazie
pt|De|Enviada|Data|Para|Assunto|
    Mensagem encaminhada|Mensagem original|Início da mensagem reencaminhada:|FW|
    {n} escreveu ({d}):|Registar hoje, por favor.
pt-BR|De|Enviada em|Data|Para|Assunto|
    Mensagem encaminhada|Mensagem original|Início da mensagem encaminhada:|ENC|
    Em {d}, {n} escreveu:|Favor lançar hoje.
ro|De la|Trimis|Dată|Către|Subiect|
    Mesaj redirecționat|Mesaj original|Începutul mesajului redirecționat:|Fwd|
    În {d}, {n} a scris:|De introdus azi, mulțumesc
nl|Van|Verzonden|Datum|Aan|Onderwerp|
    Doorgestuurd bericht|Oorspronkelijk bericht|Begin doorgestuurd bericht:|FW|
    Op {d} schreef {n}:|Graag vandaag invoeren.
sv|Från|Skickat|Datum|Till|Ämne|
    Vidarebefordrat meddelande|Ursprungligt meddelande|Vidarebefordrat brev:|VB|
    Den {d} skrev {n}:|Lägg in den i dag, tack
da|Fra|Sendt|Dato|Til|Emne|
    Videresendt besked|Oprindelig meddelelse|Start på videresendt besked:|VS|
    Den {d} skrev {n}:|Opret den i dag, tak
nb|Fra|Sendt|Dato|Til|Emne|
    Videresendt melding|Opprinnelig melding|Start på videresendt melding:|VS|
    {d} skrev {n}:|Legg den inn i dag, takk
fi|Lähettäjä|Lähetetty|Päiväys|Vastaanottaja|Aihe|
    Välitetty viesti|Alkuperäinen viesti|Välitetty viesti alkaa:|VL|
    {n} kirjoitti {d}:|Syötä tänään, kiitos
et|Saatja|Saadetud|Kuupäev|Adressaat|Teema|
    Edastatud kiri|Algne kiri|Edastatud kirja algus:|Edasi|
    {n} kirjutas ({d}):|Palun sisestada täna
lv|No|Nosūtīts|Datums|Kam|Temats|
    Pārsūtīta ziņa|Sākotnējā ziņa|Pārsūtītās ziņas sākums:|Pārs.|
    {d} {n} rakstīja:|Lūdzu, ievadīt šodien
lt|Nuo|Išsiųsta|Data|Kam|Tema|
    Persiųstas laiškas|Pradinis laiškas|Persiunčiamo laiško pradžia:|Persiųsti|
    {d}, {n} rašė:|Prašau įvesti šiandien
pl|Od|Wysłano|Data|Do|Temat|
    Przekazana wiadomość|Wiadomość oryginalna|Początek przekazywanej wiadomości:|PD|
    W dniu {d}, {n} pisze:|Proszę wpisać dzisiaj
cs|Od|Odesláno|Datum|Komu|Předmět|
    Přeposlaná zpráva|Původní zpráva|Začátek přeposílané zprávy:|FW|
    Dne {d} {n} napsal(a):|Prosím zadat ještě dnes
sk|Od|Odoslané|Dátum|Komu|Predmet|
    Preposlaná správa|Pôvodná správa|Začiatok preposlanej správy:|FW|
    Dňa {d} {n} napísal:|Prosím zadať dnes
sl|Od|Poslano|Datum|Za|Zadeva|
    Posredovano sporočilo|Izvirno sporočilo|Začetek posredovanega sporočila:|PD|
    {d} je {n} napisal:|Prosim, vnesi danes
hr|Šalje|Poslano|Datum|Prima|Predmet|
    Proslijeđena poruka|Izvorna poruka|Započni proslijeđenu poruku:|PR|
    {d} {n} je napisao:|Molim unesi danas
sr|Од|Послато|Датум|За|Наслов|
    Прослеђена порука|Оригинална порука|Почетак прослеђене поруке:|Fwd|
    {d} {n} је написао:|Унети данас
hu|Feladó|Elküldve|Dátum|Címzett|Tárgy|
    Továbbított levél|Eredeti üzenet|Továbbított levél kezdete:|FW|
    {n} írta ({d}):|Kérem, még ma rögzítse
bg|От|Изпратено|Дата|До|Относно|
    Препратено съобщение|Оригинално съобщение|Начало на препратеното съобщение:|FW|
    На {d} {n} написа:|Моля, въведете днес
ru|От|Отправлено|Дата|Кому|Тема|
    Пересылаемое сообщение|Исходное сообщение|Начало переадресованного сообщения:|FW|
    {d} пользователь {n} написал:|Прошу внести сегодня
uk|Від|Надіслано|Дата|Кому|Тема|
    Переслане повідомлення|Оригінальне повідомлення|Початок переадресованого повідомлення:|FW|
    {d} {n} пише:|Внести сьогодні, дякую
el|Από|Στάλθηκε|Ημερομηνία|Προς|Θέμα|
    Προωθημένο μήνυμα|Αρχικό μήνυμα|Έναρξη προωθημένου μηνύματος:|ΠΡΘ|
    Στις {d}, ο χρήστης {n} έγραψε:|Να καταχωρηθεί σήμερα
tr|Kimden|Gönderildi|Tarih|Kime|Konu|
    Yönlendirilmiş ileti|Özgün İleti|Başlangıçtaki ileti:|İLT|
    {n}, {d} tarihinde şunu yazdı:|Bugün girilsin lütfen
he|מאת|נשלח|תאריך|אל|נושא|
    הודעה שהועברה|הודעה מקורית|תחילת ההודעה שהועברה:|FW|
    ב-{d}, {n} כתב/ה:|נא להזין היום
ar|من|تاريخ الإرسال|التاريخ|إلى|الموضوع|
    رسالة مُعاد توجيهها|الرسالة الأصلية|بدء الرسالة المُعاد توجيهها:|FW|
    في {d}، كتب {n}:|يرجى إدخاله اليوم
fa|از|ارسال شده|تاریخ|به|موضوع|
    پیام هدایت‌شده|پیام اصلی|آغاز پیام هدایت‌شده:|FW|
    در تاریخ {d}، {n} نوشت:|لطفاً امروز ثبت شود
ja|差出人|送信日時|日付|宛先|件名|
    転送メッセージ|元のメッセージ|転送されたメッセージ：|FW|
    {d} {n}のメール：|本日中に入力をお願いします。
ko|보낸 사람|보낸 날짜|날짜|받는 사람|제목|
    전달된 메일|원본 메시지|전달된 메시지 시작:|FW|
    {d}, {n} 작성:|오늘 등록 부탁드립니다.
zh-CN|发件人|发送时间|日期|收件人|主题|
    转发的邮件|原始邮件|下面是被转发的邮件：|转发|
    {d}，{n} 写道：|请今天录入，谢谢。
zh-TW|寄件者|寄件日期|日期|收件者|主旨|
    轉寄郵件|原始郵件|開始轉寄郵件：|轉寄|
    {n} 於 {d} 寫道：|請今天輸入，謝謝。
vi|Từ|Đã gửi|Ngày|Đến|Chủ đề|
    Thư chuyển tiếp|Thư gốc|Bắt đầu thư được chuyển tiếp:|FW|
    Vào {d}, {n} đã viết:|Nhập trong hôm nay nhé
th|จาก|ส่งเมื่อ|วันที่|ถึง|เรื่อง|
    ข้อความที่ส่งต่อ|ข้อความต้นฉบับ|เริ่มข้อความที่ส่งต่อ:|FW|
    เมื่อ {d} {n} เขียนว่า:|ช่วยบันทึกวันนี้
id|Dari|Dikirim|Tanggal|Kepada|Subjek|
    Pesan terusan|Pesan Asli|Awal pesan terusan:|FW|
    Pada {d}, {n} menulis:|Mohon dimasukkan hari ini
hi|प्रेषक|भेजा गया|दिनांक|प्रति|विषय|
    अग्रेषित संदेश|मूल संदेश|अग्रेषित संदेश प्रारंभ:|FW|
    {d} को {n} ने लिखा:|कृपया आज दर्ज करें
"""
_LEGACY = {
    **dict.fromkeys("de fr es ca it pt pt-BR nl sv da nb fi".split(), ("iso-8859-1", "windows-1252", "iso-8859-15")),
    **dict.fromkeys("pl cs sk sl hr hu ro".split(), ("iso-8859-2", "windows-1250")),
    **dict.fromkeys("et lv lt".split(), ("iso-8859-13", "windows-1257")),
    **dict.fromkeys("ru bg sr".split(), ("koi8-r", "windows-1251", "iso-8859-5")),
    "uk": ("koi8-u", "windows-1251"),
    "el": ("iso-8859-7", "windows-1253"),
    "tr": ("iso-8859-9", "windows-1254"),
    "he": ("iso-8859-8-i", "windows-1255"),
    "ar": ("iso-8859-6", "windows-1256"),
    "ja": ("iso-2022-jp", "shift_jis", "euc-jp"),
    "ko": ("euc-kr", "ks_c_5601-1987"),
    "zh-CN": ("gb18030", "gbk", "gb2312"),
    "zh-TW": ("big5",),
    "vi": ("windows-1258",),
    "th": ("tis-620", "windows-874"),
}
_CODECS = {"iso-8859-8-i": "iso-8859-8", "ks_c_5601-1987": "cp949", "windows-874": "cp874"}


@dataclass(frozen=True)
class Words:
    """What a program calls things in one language."""

    tag: str
    sender: str
    sent: str
    date: str
    to: str
    subject: str
    forwarded: str
    original: str
    begin: str
    prefix: str
    wrote: str
    note: str

    @property
    def colon(self) -> str:
        return {"fr": "\u00a0:", "ja": "：", "zh-CN": "：", "zh-TW": "："}.get(self.tag, ":")

    @property
    def direction(self) -> str:
        return "rtl" if self.tag in {"he", "ar", "fa"} else "ltr"


WORDS = {line.split("|")[0]: Words(*line.split("|")) for line in re.sub(r"\n +", "", _WORDS).strip().splitlines()}


# A mail, opened and closed again.


@dataclass(frozen=True)
class File:
    name: str
    kind: str
    data: bytes
    inline: bool = False


@dataclass(frozen=True)
class Draft:
    """A mail as a client holds it."""

    subject: str
    sender: str
    to: str
    date: str
    html: str | None
    text: str | None
    files: tuple[File, ...]


@dataclass(frozen=True)
class Forwarded:
    """Octets of a mail, and what of `html`, `text`, `json`, `enclosed` carries the "
    "whole notification in it."""

    raw: bytes
    whole: frozenset[str] = frozenset({"html", "text", "json"})
    trail: tuple[str, ...] = ()
    doubts: frozenset[str] = frozenset()
    """What was done on the way that one can hold to have hurt the text: a reader may refuse it."""


@dataclass(frozen=True)
class Way:
    """How one person forwards: which program, in which language, with what settings."""

    client: str
    language: str
    bodies: str = "both"  # both, html, text
    files: str = "kept"  # kept, dropped, renamed, octets, text
    note: str = "above"  # none, above, below, both
    code: str = "utf-8 qp"  # a charset (or legacy) and an encoding
    seed: int = 0


def opened(raw: bytes) -> Draft:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    texts: list[str] = []
    pages: list[str] = []
    files: list[File] = []
    for part in _parts(message):
        kind = part.get_content_type()
        name = part.get_filename()
        if kind == "message/rfc822":
            inner = part.get_payload()
            files.append(File(name or "message.eml", kind, inner[0].as_bytes() if isinstance(inner, list) else b""))
        elif name or part.get_content_disposition() == "attachment" or not kind.startswith("text/"):
            files.append(File(name or "noname", kind, part.get_payload(decode=True) or b""))
        else:
            charset = part.get_content_charset() or "utf-8"
            data = part.get_payload(decode=True)
            assert isinstance(data, bytes)
            body = data.decode(_CODECS.get(charset, charset), "replace").replace("\r\n", "\n")
            (pages if kind == "text/html" else texts).append(body)
    page = "\n".join(pages) if pages else None
    text = "\n".join(texts) if texts else None
    head = [str(message[name] or "") for name in ("Subject", "From", "To", "Date")]
    return Draft(head[0], head[1], head[2], head[3], page, text, tuple(files))


def _parts(message: Any) -> Iterator[Any]:
    if message.get_content_type() == "message/rfc822" or not message.is_multipart():
        yield message
        return
    for part in message.get_payload():
        yield from _parts(part)


def _fits(text: str, charset: str) -> bool:
    try:
        return text.encode(_CODECS.get(charset, charset)).decode(_CODECS.get(charset, charset)) == text
    except UnicodeError:
        return False


def _part(kind: str, data: bytes, code: str, *extra: str) -> bytes:
    if code == "8bit" and any(len(line) > 900 for line in data.split(b"\n")):
        code = "base64"
    if code == "base64":
        data = base64.encodebytes(data).replace(b"\n", b"\r\n")
    elif code == "qp":
        data = quopri.encodestring(data.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    else:
        data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    name = {"qp": "quoted-printable"}.get(code, code)
    head = [f"Content-Type: {kind}", f"Content-Transfer-Encoding: {name}", *extra]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


def _body(kind: str, text: str, way: Way, rng: Random, parameters: str = "") -> bytes:
    wanted, code = way.code.split()
    charset = wanted
    if wanted == "legacy":
        names = [name for name in _LEGACY.get(way.language, ("iso-8859-1",)) if _fits(text, name)]
        charset = rng.choice(names) if names else "utf-8"
    data = text.encode(_CODECS.get(charset, charset))
    quoted = rng.choice((f'"{charset}"', charset, charset.upper()))
    return _part(f"{kind}; charset={quoted}{parameters}", data, code)


def _joined(kind: str, parts: list[bytes], rng: Random) -> bytes:
    edge = rng.choice(("----=_Part_{}", "000000000000{}", "Apple-Mail=_{}", "_000_{}_", "=-{}", "b1_{}")).format(
        f"{rng.getrandbits(64):016x}"
    )
    head = f'Content-Type: multipart/{kind}; boundary="{edge}"\r\n\r\n'.encode()
    return (
        head + b"".join(b"--" + edge.encode() + b"\r\n" + part + b"\r\n" for part in parts) + f"--{edge}--\r\n".encode()
    )


def _filed(file: File, way: Way, rng: Random) -> bytes:
    where = "inline" if file.inline else "attachment"
    name = file.name
    if file.kind == "message/rfc822":
        data = file.data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return f'Content-Type: message/rfc822; name="{name}"\r\nContent-Disposition: {where}\r\n\r\n'.encode() + data
    kind = file.kind
    code = "base64"
    if way.files == "renamed" and name.endswith(".json"):
        name = rng.choice(
            ("ATT00001.bin", "noname", "ion-90-1 (1).json", "ion.json.txt", "bestellung_äö.json", "ION-1.JSON")
        )
    elif way.files == "octets":
        kind = "application/octet-stream"
    elif way.files == "text":
        kind, code = (
            rng.choice(("text/plain; charset=utf-8", "text/json", "text/x-json; charset=UTF-8")),
            rng.choice(("qp", "base64", "8bit")),
        )
    if not name.isascii():
        given = f"filename*=UTF-8''{quote(name)}"
        kind += f'; name="{Header(name, "utf-8").encode()}"'
    else:
        given = f'filename="{name}"'
        kind += f'; name="{name}"'
    return _part(kind, file.data, code, f"Content-Disposition: {where}; {given}")


# Pages (HTML).


def _inner(node: Node) -> str:
    return entities.escape(node.text or "", quote=False) + "".join(
        parser.tostring(child, encoding="unicode") for child in node
    )


def _markup(node: Node) -> str:
    return str(parser.tostring(node, encoding="unicode", with_tail=False))


def _body_of(document: Node) -> Node:
    found = document.find(".//body")
    return document if found is None else found


def sheet_dropped(document: Node, rng: Random) -> None:
    for node in document.xpath("//style|//title|//meta|//script"):
        node.drop_tree()


def media_dropped(document: Node, rng: Random) -> None:
    for node in document.xpath("//style"):
        node.text = "p { margin: 0 }"
    for node in document.xpath("//title|//meta"):
        node.drop_tree()


def prefixed(prefix: str, suffix: str = "") -> Callable[[Node, Random], None]:
    def apply(document: Node, rng: Random) -> None:
        mark = prefix.replace("#", f"{rng.randrange(10**9):d}")
        for node in document.xpath("//*[@class]"):
            node.set("class", " ".join(mark + name + suffix for name in node.get("class").split()))
        for node in document.xpath("//*[@id]"):
            node.set("id", mark + node.get("id") + suffix)
        for node in document.xpath("//style"):
            node.text = re.sub(r"\.([a-z]\w*)", rf".{mark}\1{suffix}", node.text or "")

    return apply


def classes_dropped(document: Node, rng: Random) -> None:
    for node in document.xpath("//*[@class]"):
        del node.attrib["class"]


def styles_dropped(document: Node, rng: Random) -> None:
    for node in document.xpath("//*[@style]"):
        del node.attrib["style"]


def computed(document: Node, rng: Random) -> None:
    added = "font-family: Helvetica; font-size: 12px; font-style: normal; letter-spacing: "
    "normal; orphans: auto; white-space: normal; widows: auto; "
    "-webkit-text-stroke-width: 0px"
    for node in _body_of(document).iter("td", "p", "h1", "h2", "h3", "div", "th", "small"):
        node.set("style", f"{node.get('style') or ''}; {added}".strip("; "))


def word_cells(document: Node, rng: Random) -> None:
    """Each cell's content becomes a paragraph of Word's."""
    for cell in document.xpath("//td|//th"):
        paragraph = parser.Element("p")
        paragraph.text, cell.text = cell.text, None
        for child in list(cell):
            paragraph.append(child)
        cell.append(paragraph)
    for node in document.xpath("//p|//h1|//h2|//h3"):
        node.set("class", "MsoNormal")
        node.set("style", 'margin:0cm;font-size:11.0pt;font-family:"Calibri",sans-serif')


def flat(row: str, between: str) -> Callable[[Node, Random], None]:
    """Tables become running elements: each row one element of the given kind."""

    def apply(document: Node, rng: Random) -> None:
        for cell in document.xpath("//td|//th"):
            cell.tag = "span"
            for name in list(cell.attrib):
                del cell.attrib[name]
            if between == "div":
                cell.tag = "div"
            elif cell.getnext() is not None:
                cell.tail = between
        for node in document.xpath("//tr"):
            node.tag = row
        for node in document.xpath("//table|//thead|//tbody"):
            node.tag = "div"

    return apply


def fonts(document: Node, rng: Random) -> None:
    for cell in document.xpath("//td|//th|//p"):
        font = parser.Element("font", size="2", face="sans-serif")
        font.text, cell.text = cell.text, None
        for child in list(cell):
            font.append(child)
        cell.append(font)


def bold_labels(document: Node, rng: Random) -> None:
    """A theme that writes the first cell of each row in bold type."""
    for cell in document.xpath("//tr/td[1]"):
        if len(cell) == 0 and cell.text:
            bold = parser.Element("strong")
            bold.text, cell.text = cell.text, None
            cell.append(bold)


def wrapped_tables(document: Node, rng: Random) -> None:
    """A table around each table."""
    for table in document.xpath("//table"):
        outer = parser.fragment_fromstring("<div style='overflow-x:auto'><table><tr><td></td></tr></table></div>")
        tail, table.tail = table.tail, None
        table.getparent().replace(table, outer)
        outer.xpath(".//td")[0].append(table)
        outer.tail = tail


def headings_plain(document: Node, rng: Random) -> None:
    for node in document.xpath("//h1|//h2|//h3"):
        node.tag = rng.choice(("p", "div"))


def breaks_doubled(document: Node, rng: Random) -> None:
    """Paragraphs become lines with empty ones between (editors that know no paragraphs)."""
    for node in document.xpath("//p"):
        node.tag = "div"
        node.addnext(parser.fragment_fromstring("<div><br></div>"))


# Pages as strings: only the text between the tags is touched.

_TAGS = re.compile(r"(<style.*?</style>|<!--.*?-->|<a\b.*?</a>|<[^>]*>)", re.DOTALL)


def _texts(page: str, change: Callable[[str], str]) -> str:
    pieces = _TAGS.split(page)
    for place in range(0, len(pieces), 2):
        if pieces[place].strip():
            pieces[place] = change(entities.unescape(pieces[place]))
    return "".join(pieces)


def _escaped(text: str) -> str:
    return entities.escape(text, quote=False)


_LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,)]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"(?<![\w.,:-])\+?\d[\d ()/-]{6,}\d(?![\w.,:-])")


def linked(page: str, rng: Random) -> str:
    def change(text: str) -> str:
        found, place = "", 0
        for link in _LINK.finditer(text):
            found += _escaped(text[place : link.start()])
            target = link[0] if "://" in link[0] else f"mailto:{link[0]}"
            found += f'<a href="{entities.escape(target)}" target="_blank" rel="noreferrer">{_escaped(link[0])}</a>'
            place = link.end()
        return found + _escaped(text[place:])

    return _texts(page, change)


def detected(page: str, rng: Random) -> str:
    """Phone numbers and dates become links, as phones make them."""

    def change(found: re.Match[str]) -> str:
        target = f"tel:{re.sub('[^0-9+]', '', found[0])}"
        if re.match(r"\d{4}-\d\d-\d\d", found[0]):
            target = f"x-apple-data-detectors://{rng.randrange(9)}"
        return f'<a dir="ltr" href="{target}">{found[0]}</a>'

    return _texts(page, lambda text: _PHONE.sub(change, _escaped(text)))


def _in_words(mark: str, most: int) -> Callable[[str, Random], str]:
    def apply(page: str, rng: Random) -> str:
        def change(text: str) -> str:
            return _escaped(re.sub(rf"\S{{{most}}}(?=\S)", lambda m: m[0] + "\x00", text)).replace("\x00", mark)

        return _texts(page, change)

    return apply


wbr = _in_words("<wbr>", 20)
zero_width = _in_words("&#8203;", 12)
soft_hyphens = _in_words("&shy;", 9)


def hard_blanks(page: str, rng: Random) -> str:
    return _texts(
        page,
        lambda text: re.sub(
            r"(\w) (?=\S)", lambda m: m[0][:-1] + ("\xa0" if rng.random() < 0.3 else " "), _escaped(text)
        ),
    )


def numbered(page: str, rng: Random) -> str:
    """Everything beyond ASCII as character references."""
    return page.encode("ascii", "xmlcharrefreplace").decode()


def directed(page: str, rng: Random) -> str:
    return _texts(page, lambda text: f"\u200f{_escaped(text)}\u200f" if rng.random() < 0.5 else _escaped(text))


def refolded(page: str, rng: Random) -> str:
    """Lines of the source broken at blanks."""
    return _texts(page, lambda text: re.sub(r" ", lambda m: "\n" if rng.random() < 0.2 else " ", _escaped(text)))


def paragraphs_of_word(page: str, rng: Random) -> str:
    return page.replace("</p>", "<o:p></o:p></p>")


def safe_links(page: str, rng: Random) -> str:
    def change(found: re.Match[str]) -> str:
        target = quote(entities.unescape(found[1]), safe="")
        tracked = f"&amp;data=05%7C02%7C%7C{rng.getrandbits(64):x}%7C0&amp;sdata=x%3D&amp;reserved=0"
        host = "https://eur01.safelinks.protection.outlook.com"
        return f'href="{host}/?url={target}{tracked}" originalSrc="{found[1]}"'

    return re.sub(r'href="(https?://[^"]*)"', change, page)


# Text.


@dataclass(frozen=True)
class Plain:
    """How a program writes a page as text."""

    cells: str = "\t"
    bold: str = ""
    italic: str = ""
    links: str = ""  # angle, mailto, mark, square, notes
    gap: bool = True
    heads: str = ""  # "", hash, underline, stars
    cell_lines: bool = False
    bars: bool = False


_BLOCKS = set("p div h1 h2 h3 h4 table tr blockquote ul li hr center pre body".split())


def plain_text(body: Node, style: Plain) -> str:
    notes: list[str] = []
    text = "".join(_pieces(body, style, notes))
    text = re.sub(r"[ \t]*\n[ \t]*(?=\n)", "\n", text)
    text = re.sub("\n\\s*\n", "\n\n" if style.gap else "\n", text)
    if notes:
        text += "\n\n" + "\n".join(f"[{place + 1}] {note}" for place, note in enumerate(notes))
    return text.strip("\n") + "\n"


def _pieces(node: Node, style: Plain, notes: list[str]) -> Iterator[str]:
    if not isinstance(node.tag, str) or node.tag in {"style", "script", "title", "head", "meta"}:
        return
    inside = re.sub(r"[ \t\r\n]+", " ", node.text or "")
    for child in node:
        inside += "".join(_pieces(child, style, notes))
        inside += re.sub(r"[ \t\r\n]+", " ", child.tail or "")
    tag = node.tag
    if tag == "br":
        yield "\n"
    elif tag == "hr":
        yield "\n" + "-" * 30 + "\n"
    elif tag in {"td", "th"}:
        inside = re.sub(r" *\n *", "\n", inside).strip()
        if style.bars:
            inside = re.sub(r"\s*\n\s*", " ", inside)
        if tag == "th" and style.bold and inside and "\n" not in inside:
            inside = f"{style.bold}{inside}{style.bold}"
        if style.cell_lines:
            yield f"\n{inside}\n"
        else:
            yield inside + (style.cells if node.getnext() is not None else "")
    elif tag == "tr" and style.bars:
        yield f"\n| {inside.strip()} |\n"
    elif tag in {"h1", "h2", "h3"}:
        inside = inside.strip()
        if style.heads == "hash":
            inside = f"{'#' * int(tag[1])} {inside}"
        elif style.heads == "underline":
            inside = f"{inside}\n{'=' * min(len(inside), 60)}"
        elif style.heads == "stars":
            inside = f"*{inside}*"
        yield f"\n\n{inside}\n\n"
    elif tag in {"b", "strong"} and style.bold and inside.strip() and "\n" not in inside.strip():
        yield inside.replace(inside.strip(), f"{style.bold}{inside.strip()}{style.bold}", 1)
    elif tag == "a" and style.links:
        yield _with_link(inside, node.get("href") or "", style, notes)
    elif tag in _BLOCKS:
        edge = "\n\n" if tag in {"p", "table"} else "\n"
        yield f"{edge}{inside}{edge}"
    else:
        yield inside


def _with_link(inside: str, target: str, style: Plain, notes: list[str]) -> str:
    if style.links == "angle":
        return f"{inside}<{target}>"
    if style.links == "mailto":  # only where the target says more
        return inside if target in {inside, f"mailto:{inside}"} else f"{inside} <{target}>"
    if style.links == "mark":
        return f"[{inside}]({target})"
    if style.links == "square":
        return f"{inside} [{target}]"
    notes.append(target)
    return f"{inside} [{len(notes)}]"


def _columns(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


@dataclass(frozen=True)
class Fold:
    """How a program breaks lines of text."""

    width: int = 0  # 0: it does not
    hyphens: bool = False
    long_words: bool = False
    wide: bool = False
    refill: bool = False
    flowed: bool = False
    indent: str = ""
    prefix: str = ""
    tail: str = ""
    quote_once: bool = False
    """The quotation mark stands only before the first of the lines that one was broken into."""


_WIDE = re.compile(
    r"(?<=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff00-\uffef])(?=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3])"
)


def folded(text: str, fold: Fold) -> str:
    lines = text.split("\n")
    if fold.refill:
        lines = [" ".join(block.split()) if block.strip() else block for block in re.split(r"\n\s*\n", text)]
        lines = [line for block in lines for line in (block, "")][:-1]
    done: list[str] = []
    for line in lines:
        for place, piece in enumerate(_broken(line, fold)):
            before = "" if place and fold.quote_once else fold.prefix
            indent = fold.indent if place else ""
            done.append(f"{before}{indent}{piece}{fold.tail if piece.strip() else ''}")
    return "\n".join(done)


def _broken(line: str, fold: Fold) -> list[str]:
    if not fold.width or _columns(line) <= fold.width or line.startswith((">", "|")):
        stuffed = fold.flowed and line.startswith((" ", "From ", ">"))
        return [f" {line}" if stuffed else line.rstrip() if fold.flowed and line != "-- " else line]
    atoms: list[str] = []
    for word in re.findall(r"\s*\S+", line):
        pieces = [word]
        if fold.hyphens:
            pieces = [part for piece in pieces for part in re.findall(r"[^-]*-+|[^-]+", piece)]
        if fold.wide:
            pieces = [part for piece in pieces for part in _WIDE.split(piece)]
        atoms += pieces
    done, current = [], ""
    for atom in atoms:
        if current and _columns(current + atom) > fold.width:
            done.append(current)
            current = atom.lstrip()
            if fold.flowed:
                blanks = atom[: len(atom) - len(atom.lstrip())]
                done[-1] += blanks or ""
        else:
            current += atom
        while fold.long_words and _columns(current) > fold.width:
            cut = fold.width if _columns(current[: fold.width]) <= fold.width else fold.width // 2
            while cut < len(current) - 1 and unicodedata.combining(current[cut]):
                cut += 1
            done.append(current[:cut])
            current = current[cut:]
    done.append(current)
    if fold.flowed:
        done = [f" {piece}" if piece.startswith((">", "From ", " ")) else piece for piece in done]
    return done


# Programs.


@dataclass(frozen=True)
class Client:
    """One program. `page` and `lines` are its forms; {note}, {head}, {body}, {below} are filled in."""

    name: str
    page: str
    lines: str
    head: str  # bold, plain, div, table, upper, wrote
    named: str = "sender date subject to"
    dom: tuple[Callable[[Node, Random], None], ...] = ()
    strings: tuple[Callable[[str, Random], str], ...] = ()
    plain: Plain | None = Plain()
    folds: tuple[Fold, ...] = (Fold(),)
    bodies: tuple[str, ...] = ("both", "html", "text")
    files: tuple[str, ...] = ("kept", "dropped")
    codes: tuple[str, ...] = ("utf-8 qp", "utf-8 base64", "utf-8 8bit", "legacy qp", "legacy base64", "legacy 8bit")
    build: str = "mixed"  # mixed, apple, related, enclosed, eml, list
    lossy: frozenset[str] = field(default_factory=frozenset)


_PAGE = "<html><head></head><body>{note}{head}{body}{below}</body></html>"
_TEXT = "{note}\n\n{title}\n{head}\n\n{body}\n{below}"
_BLANK = "<div><br></div>"

CLIENTS: dict[str, Client] = {
    client.name: client
    for client in (
        Client(
            "gmail web",
            '<div dir="auto">{note}<br><br><div class="gmail_quote"><div dir="ltr" '
            'class="gmail_attr">---------- {forwarded} ---------<br>{head}<br></div><br><br>'
            "{body}</div>{below}</div>",
            "{note}\n\n---------- {forwarded} ---------\n{head}\n\n\n{body}\n{below}",
            "plain",
            dom=(prefixed("m_-#"), media_dropped),
            strings=(linked, wbr),
            plain=Plain(cells=" ", bold="*", links="mailto"),
            folds=(Fold(78), Fold(72, hyphens=True)),
        ),
        Client(
            "yahoo",
            '<html><body><div class="ydp1yahoo-style-wrap">{note}</div><div id="yahoo_quoted_1" '
            'class="yahoo_quoted"><div>----- {forwarded} -----</div>{head}<div><br></div><div '
            'id="yiv1"><div>{body}</div></div></div>{below}</body></html>',
            "{note}\n\n   ----- {forwarded} ----- {head}\n   {body}\n{below}",
            "div",
            named="sender to sent subject",
            dom=(prefixed("yiv#"),),
            strings=(linked,),
            plain=Plain(cells=" ", gap=False),
        ),
        Client(
            "aol",
            '{note}<br><br>-----{original}-----<br>{head}<br><div style="color:black;font:12px '
            'Arial">{body}</div>{below}',
            "{note}\n\n-----{original}-----\n{head}\n\n{body}\n{below}",
            "plain",
            named="sender to sent subject",
            dom=(prefixed("aolmail_"), computed),
            strings=(linked,),
            plain=Plain(cells="\n", gap=False),
        ),
        Client(
            "mail.ru",
            "<HTML><BODY><p>{note}</p><blockquote style='border-left:1px solid "
            "#0857A6;margin:10px;padding:0 0 0 10px'>-------- {forwarded} --------<br>{head}<br>"
            "<br><div id='style_1_BODY'>{body}</div></blockquote>{below}</BODY></HTML>",
            "{note}\n\n-------- {forwarded} --------\n{head}\n\n{body}\n{below}",
            "plain",
            dom=(prefixed("", "_mr_css_attr"),),
            strings=(linked,),
            plain=Plain(cells=" ", gap=True),
            folds=(Fold(prefix=">"), Fold(76, prefix="> ")),
        ),
        Client(
            "qq mail",
            '<div>{note}</div><div><br></div><div style="font-size: 12px;font-family: Arial '
            'Narrow;padding:2px 0">------------------&nbsp;{original}'
            '&nbsp;------------------</div><div style="background:#efefef;padding:8px">{head}'
            "</div><div>{body}</div>{below}",
            "{note}\n\n\n------------------ {original} ------------------\n{head}\n\n\n{body}\n{below}",
            "div",
            dom=(sheet_dropped, classes_dropped),
            strings=(linked, hard_blanks),
            plain=Plain(cells="", gap=False),
            bodies=("both", "html"),
            codes=("legacy base64", "utf-8 base64"),
        ),
        Client(
            "netease",
            '<div style="line-height:1.7;color:#000;font-size:14px">{note}<br><br>-------- '
            "{forwarded} --------<br>{head}<br>{body}</div>{below}",
            "{note}\n\n-------- {forwarded} --------\n{head}\n{body}\n{below}",
            "plain",
            named="sender sent to subject",
            dom=(sheet_dropped, flat("p", " ")),
            plain=Plain(cells=" ", gap=False),
            codes=("legacy base64", "legacy qp", "utf-8 base64"),
        ),
        Client(
            "naver",
            "<html><head><style>p{{margin-top:0px;margin-bottom:0px;}}</style></head><body><div "
            "style='font-size:10pt'><p>{note}</p><p>-----{original}-----</p>{head}<p><br></p>"
            "{body}</div>{below}<img src='https://mail.naver.example/readReceipt?img=x' width=1 "
            "height=1></body></html>",
            "{note}\n-----{original}-----\n{head}\n\n{body}\n{below}",
            "bold",
            named="sender to sent subject",
            dom=(media_dropped, computed),
            strings=(linked, numbered),
            bodies=("html", "both"),
            codes=("utf-8 base64", "legacy base64"),
        ),
        Client(
            "becky",
            _PAGE,
            "{note}\n\n----------------------- {original} -----------------------\n{head}"
            "\n----\n\n{body}\n--------------------- {original} Ends "
            "--------------------\n{below}",
            "upper",
            named="sender to date subject",
            plain=None,
            folds=(
                Fold(70, wide=True, long_words=True),
                Fold(72, wide=True, prefix="> "),
                Fold(76, wide=True, prefix="| "),
            ),
            bodies=("text",),
            codes=("legacy 8bit", "utf-8 8bit", "utf-8 base64"),
        ),
        Client(
            "notes",
            '<font size=2 face="sans-serif">{note}</font><br><br><font size=1 color=#800080 '
            'face="sans-serif">----- {forwarded} -----</font><br><table width=100%><tr '
            "valign=top><td width=40%>{head}</table><br>{body}{below}",
            "{note}\n\n----- {forwarded} -----\n\n{head}\n\n\n{body}\n{below}",
            "table",
            named="sender to date subject",
            dom=(sheet_dropped, classes_dropped, styles_dropped, fonts),
            strings=(refolded,),
            plain=Plain(cells="\t", links="angle", gap=True),
            folds=(Fold(72), Fold(72, tail=" ")),
        ),
        Client(
            "outlook classic",
            '<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><style><!-- '
            'p.MsoNormal {{margin:0cm}} --></style></head><body lang=DE link="#0563C1"><div '
            'class="WordSection1"><p class="MsoNormal">{note}<o:p></o:p></p><div><div '
            'style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm"><p '
            'class="MsoNormal">{head}</p></div></div><p class="MsoNormal"><o:p>&nbsp;</o:p></p>'
            "{body}{below}</div></body></html>",
            "{note}\n\n \n\n{head}\n\n \n\n{body}\n{below}",
            "bold",
            named="sender sent to subject",
            dom=(sheet_dropped, word_cells),
            strings=(linked, paragraphs_of_word, numbered),
            plain=Plain(cell_lines=True, links="angle"),
            folds=(Fold(), Fold(76), Fold(132)),
        ),
        Client(
            "owa",
            '<html><head><style type="text/css" style="display:none">P '
            '{{margin-top:0;margin-bottom:0}}</style></head><body dir="{direction}"><div '
            'class="elementToProof">{note}</div><div id="appendonsend"></div><hr '
            'style="display:inline-block;width:98%" tabindex="-1"><div id="divRplyFwdMsg" '
            'dir="{direction}"><font face="Calibri, sans-serif">{head}</font><div>&nbsp;</div>'
            "</div><div>{body}</div>{below}</body></html>",
            "{note}\n________________________________\n{head}\n\n{body}\n{below}",
            "bold",
            named="sender sent to subject",
            dom=(prefixed("x_"),),
            strings=(linked, safe_links),
            plain=Plain(cells="\t", links="angle"),
        ),
        Client(
            "outlook mac",
            '<html><head></head><body style="word-wrap:break-word">{note}<div '
            'style="border-top:solid #B5C4DF 1.0pt"><p>{head}</p></div><p>&nbsp;</p><div>{body}'
            "</div>{below}</body></html>",
            "{note}\n\n{head}\n\n{body}\n{below}",
            "bold",
            named="sender date to subject",
            dom=(media_dropped, word_cells, wrapped_tables),
            strings=(linked, hard_blanks, paragraphs_of_word),
            plain=Plain(cells="\t", links="mailto"),
            folds=(Fold(), Fold(prefix="> "), Fold(prefix="\t")),
        ),
        Client(
            "outlook mobile",
            '<div dir="{direction}">{note}</div><div id="ms-outlook-mobile-signature" '
            'dir="{direction}">Outlook</div><hr><div id="divRplyFwdMsg">{head}</div><br>{body}'
            "{below}",
            "{note}\n\nOutlook\n________________________________\n{head}\n\n{body}\n{below}",
            "bold",
            named="sender sent to subject",
            dom=(prefixed("x_x_"), media_dropped, headings_plain),
            strings=(linked, detected, safe_links),
            bodies=("html", "both"),
            plain=Plain(cell_lines=True, links="angle", gap=False),
        ),
        Client(
            "apple mail",
            '<html><head></head><body style="overflow-wrap: break-word;">{note}<br><div><br>'
            '<blockquote type="cite"><div>{begin}</div><br class="Apple-interchange-newline">'
            "{head}<br><div><div>{body}</div></div></blockquote></div>{below}</body></html>",
            "{note}\n\n> {begin}\n> \n{head}\n> \n{body}\n{below}",
            "bold",
            named="sender subject date to",
            dom=(computed,),
            strings=(detected,),
            plain=Plain(cells="\t", gap=True),
            folds=(Fold(prefix="> "), Fold(76, prefix="> ", flowed=True)),
            build="apple",
        ),
        Client(
            "iphone",
            '<html><head></head><body dir="auto">{note}<br id="lineBreakAtBeginningOfSignature">'
            '<div dir="ltr">iPhone</div><div dir="ltr"><br><blockquote type="cite">{head}<br><br>'
            '</blockquote></div><blockquote type="cite"><div dir="ltr">{body}</div></blockquote>'
            "{below}</body></html>",
            "{note}\n\niPhone\n\n{head}\n> \n{body}\n{below}",
            "wrote",
            dom=(prefixed(""), headings_plain),
            strings=(detected, directed),
            plain=Plain(cells=" ", gap=True),
            folds=(Fold(prefix="> "), Fold(prefix="\ufeff> ")),
            build="apple",
        ),
        Client(
            "thunderbird",
            '<html><head></head><body><p>{note}</p><div class="moz-forward-container"><br><br>'
            '-------- {forwarded} --------<table class="moz-email-headers-table" cellspacing="0" '
            'cellpadding="0" border="0"><tbody>{head}</tbody></table><br><br>{body}</div>{below}'
            "</body></html>",
            "{note}\n\n\n\n-------- {forwarded} --------\n{head}\n\n\n\n{body}\n{below}",
            "table",
            named="subject date sender to",
            plain=Plain(cells="\t", bold="*", italic="/", links="mailto"),
            folds=(Fold(72, flowed=True), Fold(72), Fold(72, prefix="> ")),
        ),
        Client(
            "em client",
            "<html><body><div>{note}</div><div>------ {original} ------</div><div>{head}</div>"
            '<div><br></div><div id="x1" cite="mid:1@x" type="cite"><blockquote cite="mid:1" '
            'type="cite" class="cite2">{body}</blockquote></div>{below}</body></html>',
            "{note}\n\n------ {original} ------\n{head}\n\n{body}\n{below}",
            "div",
            named="sender to date subject",
            dom=(media_dropped, breaks_doubled),
            strings=(linked,),
            plain=Plain(cells=" ", gap=False),
            folds=(Fold(78, hyphens=True), Fold(prefix=">"), Fold(70, prefix="> ", quote_once=True)),
        ),
        Client(
            "the bat",
            _PAGE,
            "{note}\n\n===8<=============={original}===============\n{head}\n\n{body}"
            "\n===8<==========={original}===============\n{below}",
            "plain",
            named="sender to date subject",
            plain=None,
            folds=(Fold(70), Fold(70, prefix="ION> "), Fold(70, prefix=" > ")),
            bodies=("text",),
        ),
        Client(
            "alpine",
            _PAGE,
            "{note}\n\n---------- {forwarded} ----------\n{head}\n\n{body}\n{below}",
            "plain",
            named="date sender to subject",
            plain=None,
            folds=(Fold(74, flowed=True), Fold(74), Fold(80, long_words=True)),
            bodies=("text",),
        ),
        Client(
            "mutt",
            _PAGE,
            "{note}\n\n----- {forwarded} -----\n\n{head}\n\n{body}\n\n----- End {forwarded} -----\n{below}",
            "plain",
            named="date sender to subject",
            plain=Plain(cells=" ", gap=True),
            folds=(Fold(), Fold(prefix="> "), Fold(79, indent="     "), Fold(79, tail="  ")),
            bodies=("text",),
        ),
        Client(
            "horde",
            "<html><body><p>{note}</p><p>----- {forwarded} -----<br>{head}</p><blockquote "
            'type="cite" style="border-left:2px solid blue;margin-left:2px;padding-left:12px;">'
            "{body}</blockquote>----- {forwarded} -----{below}</body></html>",
            "{note}\n\n----- {forwarded} -----\n{head}\n\n{body}\n\n----- {forwarded} -----\n{below}",
            "plain",
            dom=(media_dropped,),
            strings=(linked,),
            plain=Plain(cells=" \t ", bold="*"),
            folds=(Fold(76, flowed=True), Fold(76, prefix="> ")),
        ),
        Client(
            "sogo",
            '<div>{note}</div><br>-------- {original} --------<br><table class="SOGoHeaders">'
            "<tbody>{head}</tbody></table><br>{body}{below}",
            "{note}\n\n-------- {original} --------\n{head}\n\n{body}\n{below}",
            "table",
            named="subject date sender to",
            dom=(sheet_dropped,),
            plain=Plain(cells="", gap=False, heads="underline"),
            folds=(Fold(76, hyphens=True),),
        ),
        Client(
            "mailspring",
            '<div>{note}</div><br><div class="gmail_quote_attribution">---------- {forwarded} '
            '---------</div><div>{head}</div><blockquote class="gmail_quote" style="margin:0 0 0 '
            '.8ex">{body}</blockquote>{below}',
            _TEXT,
            "plain",
            dom=(sheet_dropped, wrapped_tables, bold_labels),
            strings=(linked, wbr),
            bodies=("html",),
        ),
        Client(
            "gmx",
            '<html><body><div style="font-family: Verdana">{note}<div>&nbsp;<div name="quote" '
            'style="margin:10px 5px 5px 10px;padding: 10px 0 10px 10px; border-left:2px solid '
            '#C3D9E5"><div style="margin:0 0 10px 0;">{head}</div><div name="quoted-content">'
            "{body}</div></div></div></div>{below}</body></html>",
            "{note}\n\n{head}\n\n{body}\n{below}",
            "bold",
            named="date sender to subject",
            dom=(sheet_dropped, classes_dropped, flat("div", "\xa0")),
            strings=(hard_blanks,),
            plain=Plain(cells=" ", gap=False),
            folds=(Fold(), Fold(72, prefix="> ")),
        ),
        Client(
            "proton",
            '<div style="font-family: Arial">{note}</div><div class="protonmail_quote">------- '
            '{forwarded} -------<br>{head}<br><br><blockquote class="protonmail_quote" '
            'type="cite">{body}</blockquote></div>{below}',
            "{note}\n\n------- {forwarded} -------\n{head}\n\n{body}\n{below}",
            "plain",
            dom=(sheet_dropped, styles_dropped),
            strings=(zero_width,),
            plain=Plain(cells="\n\n", bold="**", links="mark", heads="hash"),
            folds=(Fold(prefix="> "), Fold()),
        ),
        Client(
            "samsung",
            '<html><head></head><body dir="auto"><div dir="auto">{note}</div><div dir="auto"><br>'
            '</div><div style="font-size:100%;color:#000"><!-- originalMessage --><div>-------- '
            "{original} --------</div>{head}<div><br></div></div>{body}{below}</body></html>",
            _TEXT,
            "div",
            dom=(flat("div", "div"),),
            strings=(detected, soft_hyphens),
            bodies=("html",),
            files=("dropped", "kept"),
        ),
        Client(
            "rtl wrapper",
            '<div dir="rtl">{note}</div><div dir="rtl"><div class="gmail_quote '
            'gmail_quote_container"><div dir="rtl">---------- {forwarded} ---------<br>{head}'
            '</div><div dir="ltr"><u></u>{body}</div></div></div>{below}',
            "\u202b{note}\u202c\n\n\u202b---------- {forwarded} ---------\u202c\n{head}\n\n{body}\n{below}",
            "plain",
            dom=(prefixed("m_#"),),
            strings=(directed,),
            plain=Plain(cells=" "),
            folds=(Fold(78, prefix="\u202b", tail="\u202c"), Fold(prefix="\u200f> ")),
        ),
        Client(
            "ticket markdown",
            _PAGE,
            "{note}\n\n**{forwarded}**\n{head}\n\n{body}\n{below}",
            "plain",
            dom=(bold_labels,),
            plain=Plain(cells=" | ", bold="**", links="mark", heads="hash", bars=True),
            bodies=("text",),
        ),
        Client(
            "ticket wiki",
            _PAGE,
            "{note}\n\n{{quote}}\n{head}\n\n{body}\n{{quote}}\n{below}",
            "plain",
            plain=Plain(cells="|", bold="*", links="mailto", heads="stars", bars=True),
            bodies=("text",),
        ),
        Client(
            "ticket text",
            "<html><body><p>{note}</p><pre>{head}</pre>{body}{below}</body></html>",
            "##- Please type your reply above this line -##\n\n{note}\n\n{head}\n\n{body}\n{below}",
            "plain",
            dom=(styles_dropped, classes_dropped, sheet_dropped, bold_labels),
            plain=Plain(cells=" ", gap=False, links="square"),
            files=("dropped", "kept"),
        ),
        Client(
            "refill",
            _PAGE,
            "{note}\n\n{head}\n\n{body}\n{below}",
            "plain",
            plain=None,
            folds=(
                Fold(75, refill=True),
                Fold(60, refill=True, hyphens=True),
                Fold(64, refill=True, long_words=True),
                Fold(65, refill=True, prefix="> "),
            ),
            bodies=("text",),
        ),
        Client(
            "narrow",
            _PAGE,
            "{note}\n\n{head}\n\n{body}\n{below}",
            "upper",
            plain=None,
            folds=(
                Fold(32, hyphens=True, wide=True),
                Fold(24, long_words=True, prefix=">> "),
                Fold(48, prefix="> ", quote_once=True),
            ),
            bodies=("text",),
        ),
        Client(
            "banner",
            '<html><body><table border="0" width="100%"><tr><td bgcolor="#FFEB9C"><b>EXTERNAL</b>'
            " {note}</td></tr></table><div>{body}</div><p>This e-mail is confidential. {below}"
            "</p></body></html>",
            "[EXTERNAL] {note}\n\n{body}\n\n________________________________\nThis e-mail is confidential. {below}",
            "plain",
            strings=(safe_links,),
            plain=None,
            bodies=("both",),
        ),
        Client(
            "list",
            "<html><body>{body}{below}</body></html>",
            "{body}\n_______________________________________________\nOrders mailing list -- "
            "orders@lists.example\n{below}",
            "plain",
            plain=None,
            bodies=("both", "text"),
            build="list",
        ),
        Client("enclosed", _PAGE, "{note}\n{below}", "plain", build="enclosed", files=("kept",)),
        Client("eml file", _PAGE, "{note}\n{below}", "plain", build="eml", files=("kept",)),
    )
}


def _heads(client: Client, words: Words, draft: Draft, *, page: bool) -> str:
    labels = {"sender": words.sender, "sent": words.sent, "date": words.date, "to": words.to, "subject": words.subject}
    values = {"sender": draft.sender, "sent": draft.date, "date": draft.date, "to": draft.to, "subject": draft.subject}
    if client.head == "wrote":
        line = words.wrote.format(d=draft.date, n=draft.sender)
        return f"<div>{_escaped(line)}</div>" if page else line
    rows = [(labels[name], values[name]) for name in client.named.split()]
    if not page:
        longest = max(len(label) for label, _ in rows)
        lines = [
            f"{label + words.colon:<{longest + 2}}{value}"
            if client.head == "table"
            else f"{label}{words.colon} {value}"
            for label, value in rows
        ]
        return "\n".join(lines)
    forms = {
        "bold": "<b>{}</b> {}<br>",
        "plain": "{} {}<br>",
        "div": "<div><b>{}</b>&nbsp;{}</div>",
        "table": '<tr><th valign="BASELINE" align="RIGHT" nowrap>{} </th><td>{}</td></tr>',
        "upper": "{} {}<br>",
    }
    return "".join(forms[client.head].format(_escaped(label + words.colon), _escaped(value)) for label, value in rows)


def _page(client: Client, draft: Draft, words: Words, rng: Random, notes: tuple[str, str]) -> str:
    source = draft.html
    if source is None:
        lines = _escaped(draft.text or "").replace("  ", " &nbsp;").replace("\n", rng.choice(("<br>\n", "<br>")))
        source = f"<html><body><div>{lines}</div></body></html>"
    document = parser.document_fromstring(source)
    for change in client.dom:
        change(document, rng)
    sheets = "".join(_markup(node) for node in document.iterfind(".//head//style"))
    body = sheets + _inner(_body_of(document))
    for alter in client.strings:
        body = alter(body, rng)
    return client.page.format(
        note=_escaped(notes[0]),
        below=_escaped(notes[1]),
        head=_heads(client, words, draft, page=True),
        body=body,
        forwarded=words.forwarded,
        original=words.original,
        begin=words.begin,
        direction=words.direction,
    )


def _lines(
    client: Client, draft: Draft, words: Words, rng: Random, notes: tuple[str, str]
) -> tuple[str, Fold, set[str]]:
    fold = rng.choice(client.folds)
    doubts: set[str] = set()
    if draft.html is not None and (client.plain is not None or draft.text is None):
        page = draft.html
        if linked in client.strings:
            page = linked(page, rng)
        style = client.plain or Plain()
        text = plain_text(_body_of(parser.document_fromstring(page)), style)
    else:
        text = draft.text or ""
    if fold.refill and re.search(r"====|^[> ]*#+ ", text, re.MULTILINE):
        doubts.add("headings in the run")
    breaks = fold.long_words or fold.hyphens or fold.wide
    if breaks and any(_columns(word) > fold.width for word in text.split()):
        doubts.add("cut words")
    if "='http" in text and client.strings:
        doubts.add("links in mark-up")
    text = folded(text.strip("\n"), fold)
    head = _heads(client, words, draft, page=False)
    if client.build == "apple" or fold.prefix.strip() == ">":
        head = "\n".join(fold.prefix + line for line in head.split("\n"))
    whole = client.lines.format(
        note=notes[0],
        below=notes[1],
        head=head,
        body=text,
        title=f"---------- {words.forwarded} ---------",
        forwarded=words.forwarded,
        original=words.original,
        begin=words.begin,
    )
    return whole, fold, doubts


def forward(mail: Forwarded, way: Way) -> Forwarded:
    """The mail after this way of forwarding it."""
    client, words = CLIENTS[way.client], WORDS[way.language]
    rng = Random(f"{way}")
    draft = opened(mail.raw)
    above = words.note if way.note in {"above", "both"} else ""
    below = f"{words.note} \u2013 Jo" if way.note in {"below", "both"} else ""
    notes = (above, below)
    files = () if way.files == "dropped" else draft.files
    whole, doubts = set(mail.whole), set(mail.doubts)
    if way.files == "dropped":
        whole -= {"json", "enclosed"}
    if client.build in {"enclosed", "eml"}:
        kept = {"enclosed"} if mail.whole else set()
        content = _around(client, draft, mail.raw, notes, way, rng)
        return _sent(content, draft, words, way, mail, kept, doubts)
    page = text = None
    fold = Fold()
    if way.bodies != "text":
        page = _page(client, draft, words, rng, notes)
    if way.bodies != "html":
        text, fold, found = _lines(client, draft, words, rng, notes)
        doubts |= found
    seen = "html" if draft.html is not None else "text"
    from_text = client.plain is None and draft.text is not None
    left = {name for name in whole if name in {"json", "enclosed"}}
    if page is not None and seen in whole:
        left.add("html")
    if text is not None and ("text" if from_text else seen) in whole and "text" not in client.lossy:
        left.add("text")
    content = _built(client, page, text, fold, files, way, rng)
    return _sent(content, draft, words, way, mail, left, doubts)


def _built(
    client: Client, page: str | None, text: str | None, fold: Fold, files: tuple[File, ...], way: Way, rng: Random
) -> bytes:
    flowed = "; format=flowed" if fold.flowed else ""
    plain = None if text is None else _body("text/plain", text, way, rng, flowed)
    hyper = None if page is None else _body("text/html", page, way, rng)
    attached = [_filed(file, way, rng) for file in files]
    if client.build == "apple" and plain is not None and hyper is not None and attached:
        rest = _body("text/html", "<html><body><div><br></div></body></html>", way, rng)
        return _joined("alternative", [plain, _joined("mixed", [hyper, *attached, rest], rng)], rng)
    if plain is not None and hyper is not None:
        both = _joined("alternative", [plain, hyper], rng)
        if client.name in {"outlook classic", "gmx"}:
            both = _joined("related", [both], rng)
    else:
        both = plain if plain is not None else hyper or b""
    extra = []
    if client.build == "list":
        extra = [_part("text/plain; charset=us-ascii", b"_______________\nOrders mailing list\n", "7bit")]
    return _joined("mixed", [both, *attached, *extra], rng) if attached or extra else both


def _around(client: Client, draft: Draft, raw: bytes, notes: tuple[str, str], way: Way, rng: Random) -> bytes:
    note = _body("text/plain", client.lines.format(note=notes[0], below=notes[1]), way, rng)
    if client.build == "enclosed":
        return _joined("mixed", [note, _filed(File("forwarded message.eml", "message/rfc822", raw), way, rng)], rng)
    kind = rng.choice(("application/octet-stream", "application/eml", "application/x-message"))
    data = _part(f'{kind}; name="order.eml"', raw, "base64", 'Content-Disposition: attachment; filename="order.eml"')
    return _joined("mixed", [note, data], rng)


def _sent(
    content: bytes, draft: Draft, words: Words, way: Way, mail: Forwarded, whole: set[str], doubts: set[str]
) -> Forwarded:
    title = f"[orders] {draft.subject}" if way.client == "list" else f"{words.prefix}: {draft.subject}"
    head = [
        f"Subject: {Header(title, 'utf-8', maxlinelen=72).encode()}".replace("\n", "\r\n"),
        "From: Jo March <jo@shop.example>",
        "To: orders@in.example",
        "Date: Tue, 24 Nov 2026 08:15:00 +0100",
        f"Message-ID: <{Random(f'{way}{len(mail.raw)}').getrandbits(64):x}@shop.example>",
        "MIME-Version: 1.0",
    ]
    raw = "\r\n".join(head).encode() + b"\r\n" + content
    return Forwarded(raw, frozenset(whole), (*mail.trail, f"{way}"), frozenset(doubts))


def any_way(rng: Random) -> Way:
    """A way that the chosen program can be used in."""
    client = CLIENTS[rng.choice(sorted(CLIENTS))]
    files = rng.choice(client.files)
    if files == "kept" and rng.random() < 0.4:
        files = rng.choice(("renamed", "octets", "text"))
    return Way(
        client.name,
        rng.choice(sorted(WORDS)),
        rng.choice(client.bodies),
        files,
        rng.choice(("none", "above", "below", "both")),
        rng.choice(client.codes),
        rng.randrange(1000),
    )


def without_files(way: Way) -> Way:
    """The same with attachments dropped, where the program can do that."""
    return replace(way, files="dropped") if "dropped" in CLIENTS[way.client].files else way
