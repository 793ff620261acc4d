<?php
// Sends mail with PHPMailer: phpmailer.php LIBRARY CA-FILE ATTACHMENT, and a table on standard input (programs.py).
use PHPMailer\PHPMailer\PHPMailer;

[, $library, $caFile, $attachment] = $argv;
require "$library/autoload.php";
foreach (file('php://stdin', FILE_IGNORE_NEW_LINES) as $line) {
    [$port, $tls, $mechanism, $user, $password, $source, $from, $to, $letter] = explode("\t", $line);
    $mail = new PHPMailer(true);
    $mail->isSMTP();
    $mail->Host = 'localhost';
    $mail->Port = (int) $port;
    $mail->SMTPSecure = ['none' => '', 'starttls' => 'tls', 'implicit' => 'ssl'][$tls];
    $mail->SMTPAutoTLS = $tls === 'starttls';
    $mail->SMTPOptions = ['ssl' => ['cafile' => $caFile], 'socket' => ['bindto' => "$source:0"]];
    $mail->SMTPAuth = $mechanism !== '';
    $mail->AuthType = $mechanism;
    $mail->Username = $user;
    $mail->Password = $password;
    $mail->CharSet = 'utf-8';
    $mail->setFrom($from);
    $mail->addAddress($to);
    $mail->Subject = substr(basename($letter, '.eml'), strlen('letter-'));
    $mail->Body = "Größe\n.dot\n";
    $mail->addAttachment($attachment);
    $mail->send();
}
